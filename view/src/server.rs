//! The server: few connections, small requests, short patience.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::api::{Answer, Api};
use crate::bundle::Bundle;
use crate::guard::{Guard, Way, dress};
use crate::peer::{Peer, peer};

/// What a server puts up with.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// It ends after this without a request of who may ask.
    pub idle: Duration,
    /// How long the head of a request may take.
    pub head: Duration,
    /// How long a connection may take, request and answer.
    pub connection: Duration,
    /// Most connections at a time.
    pub connections: usize,
    /// Longest body, in bytes.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            head: Duration::from_secs(5),
            connection: Duration::from_secs(90),
            connections: 32,
            body: 64 << 10,
        }
    }
}

/// Longest head of a request, in bytes, and most headers.
const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 64;
/// Bytes that the system keeps of an answer until they are read.
const SEND_BUFFER: usize = 64 << 10;
/// How often it is asked whether to stop.
const TICK: Duration = Duration::from_millis(100);
/// How long answers under way may take when it ends.
const LAST: Duration = Duration::from_millis(500);
/// Requests that are worked on at a time; the others wait.
const WORKERS: usize = 4;

/// Why a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The user said on the page that they are done.
    Done,
    /// Nobody asked for anything for the time of [`Limits::idle`].
    Idle,
    /// It was told to stop.
    Stopped,
}

/// Serves one bundle on 127.0.0.1, at a port that the system chooses.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    guard: Guard,
    api: Api,
    limits: Limits,
    address: SocketAddr,
    is_done: AtomicBool,
    begun: Instant,
    /// When the last request of who may ask came, in ms after the beginning.
    last: AtomicU64,
}

impl Server {
    /// Binds. What connects waits until [`Server::run`].
    ///
    /// # Errors
    /// If no port can be had, or no random bytes.
    pub fn new(bundle: Bundle, limits: Limits) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        // Its connections have the same: what nobody reads is not kept for them.
        rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
        let address = listener.local_addr()?;
        let shared = Shared {
            guard: Guard::new(address)?,
            api: Api::new(bundle),
            limits,
            address,
            is_done: AtomicBool::new(false),
            begun: Instant::now(),
            last: AtomicU64::new(0),
        };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// Where the page is. Whoever knows it sees the bundle: it is for the user's eyes, not for arguments of a process.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.guard.url()
    }

    /// An address to start a browser with: it leads to the page once, within a minute, and only over a connection of
    /// this user. None if the system does not tell whose a connection is.
    ///
    /// # Errors
    /// If no random bytes can be had.
    pub fn url_for_once(&self) -> io::Result<Option<String>> {
        let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        if peer(self.shared.address, nobody) == Peer::Unknown {
            return Ok(None);
        }
        self.shared.guard.once().map(Some)
    }

    /// Serves until the user is done, nobody asks any more, or `stop` says so, which is asked often.
    ///
    /// # Errors
    /// If no thread or descriptor is left to serve with.
    pub fn run(self, mut stop: impl FnMut() -> bool) -> io::Result<End> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(WORKERS)
            .build()?;
        let end = runtime.block_on(async {
            let listener = TcpListener::from_std(self.listener)?;
            let places = Arc::new(Semaphore::new(self.shared.limits.connections));
            let end = loop {
                match tokio::time::timeout(TICK, listener.accept()).await {
                    Ok(Ok((stream, from))) => accept(&self.shared, &places, stream, from),
                    // No descriptor is left: others have to go first.
                    Ok(Err(_)) => tokio::time::sleep(TICK).await,
                    Err(_) => {}
                }
                if self.shared.is_done.load(Ordering::Relaxed) {
                    break End::Done;
                }
                if stop() {
                    break End::Stopped;
                }
                if self.shared.is_idle() {
                    break End::Idle;
                }
            };
            drop(listener);
            // Answers under way, that of `done` among them.
            let all = u32::try_from(self.shared.limits.connections).unwrap_or(u32::MAX);
            let _ = tokio::time::timeout(LAST, places.acquire_many(all)).await;
            Ok(end)
        });
        runtime.shutdown_timeout(LAST);
        end
    }
}

impl Shared {
    fn is_idle(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last) > self.limits.idle
    }
}

fn accept(shared: &Arc<Shared>, places: &Arc<Semaphore>, stream: TcpStream, from: SocketAddr) {
    let peer = peer(shared.address, from);
    // Other users do not even take a place. Where all are taken, whoever comes has to come again.
    let Some(place) = (peer != Peer::Other).then(|| Arc::clone(places).try_acquire_owned().ok()).flatten()
    else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let limits = shared.limits;
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, std::convert::Infallible>(answer(&shared, request, peer == Peer::Ours).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        let _ = tokio::time::timeout(limits.connection, connection).await;
        drop(place);
    });
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>, is_ours: bool) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let mut response = match shared.guard.check(&head.method, &head.uri, &head.headers, is_ours) {
        Err((status, why)) => text(status, why),
        Ok(way) => {
            let now = u64::try_from(shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            shared.last.store(now, Ordering::Relaxed);
            match way {
                Way::Once => {
                    let mut response = text(StatusCode::SEE_OTHER, "");
                    if let Ok(path) = HeaderValue::try_from(shared.guard.path()) {
                        response.headers_mut().insert(LOCATION, path);
                    }
                    response
                }
                Way::In(path) => inside(shared, &head.method, path, head.uri.query(), body).await,
            }
        }
    };
    dress(response.headers_mut());
    response
}

async fn inside(
    shared: &Arc<Shared>,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: Incoming,
) -> Response<Full<Bytes>> {
    let is_post = method == Method::POST;
    let limited = Limited::new(body, shared.limits.body).collect();
    let Ok(read) = tokio::time::timeout(shared.limits.head, limited).await else {
        return text(StatusCode::REQUEST_TIMEOUT, "The request takes too long.");
    };
    let Ok(body) = read.map(http_body_util::Collected::to_bytes) else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "The request is too long.");
    };
    if is_post && path == "api/done" {
        shared.is_done.store(true, Ordering::Relaxed);
        return json(StatusCode::OK, &serde_json::json!({ "done": true }));
    }
    let (path, query) = (path.to_owned(), query.unwrap_or_default().to_owned());
    let worker = Arc::clone(shared);
    let work = move || worker.api.answer(is_post, &path, &query, &body);
    match tokio::task::spawn_blocking(work).await {
        Ok(Answer::Json(value)) => json(StatusCode::OK, &value),
        Ok(Answer::File(kind, bytes)) => with(StatusCode::OK, kind, Bytes::from_static(bytes)),
        Ok(Answer::Error(status, why)) => json(status, &serde_json::json!({ "error": why })),
        Err(_) => json(
            StatusCode::INTERNAL_SERVER_ERROR,
            &serde_json::json!({ "error": "It cannot be shown: an error of this program." }),
        ),
    }
}

fn text(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    with(status, "text/plain; charset=utf-8", Bytes::from_static(why.as_bytes()))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    with(status, "application/json", Bytes::from(value.to_string()))
}

fn with(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
