//! Clients that send too much, too slowly, or too often.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tracewell_view::Limits;

use crate::demo::Base;
use crate::http::{get, post, raw, request, small};

#[test]
fn long_heads_and_bodies_are_refused() {
    let base = Base::new();
    small(&base);
    let served = base.serve(Limits::default());
    let path = format!("{}api/bundle", served.path());
    let long = "x".repeat(64 << 10);
    let answer = request(&served, "GET", &path, &[("X-Long", &long)], "");
    assert!(matches!(answer.status, 431 | 0), "{answer:?}");
    let many: Vec<_> = (0..200).map(|_| ("X-Many", "x")).collect();
    assert!(matches!(request(&served, "GET", &path, &many, "").status, 431 | 400));
    let answer = request(&served, "GET", &format!("{path}?{long}"), &[], "");
    assert!(matches!(answer.status, 414 | 431 | 0), "{answer:?}");
    assert_eq!(post(&served, "api/strike", &" ".repeat(100_000)).status, 413);
    // Without a length, too.
    let chunk = "10000\r\n".to_owned() + &" ".repeat(0x10000) + "\r\n";
    let chunks = format!(
        "POST {}api/strike HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n",
        served.path(),
        address = served.address(),
    );
    assert_eq!(raw(served.address(), chunks.as_bytes()).status, 413);
    // Both kinds of length: whoever stands between could read it otherwise.
    let both = format!(
        "POST {}api/strike HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: application/json\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n{{}}   ",
        served.path(),
        address = served.address(),
    );
    assert_eq!(raw(served.address(), both.as_bytes()).status, 400);
    for bytes in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let status = raw_and_close(served.address(), bytes);
        assert!(status == 0 || status >= 400, "{bytes:?}: {status}");
    }
    assert_eq!(get(&served, "api/bundle").status, 200, "and it goes on");
}

/// As [`raw`], for what need not be a whole request.
fn raw_and_close(address: &str, bytes: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// How long until the other end closes, sending a byte now and then.
fn patience_with(address: &str, head: &[u8], pause: Duration) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(pause)).unwrap();
    stream.write_all(head).unwrap();
    let mut byte = [0; 256];
    while begun.elapsed() < Duration::from_secs(20) {
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        if stream.write_all(b"x").is_err() {
            break;
        }
    }
    begun.elapsed()
}

#[test]
fn slow_clients_are_cut_off_and_the_page_stays_usable() {
    let base = Base::new();
    small(&base);
    let limits = Limits {
        head: Duration::from_secs(1),
        connection: Duration::from_secs(60),
        connections: 8,
        ..Limits::default()
    };
    let served = base.serve(limits);
    let address = served.address().to_owned();
    let pause = Duration::from_millis(100);
    let body = format!(
        "POST {}api/strike HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nContent-Type: application/json\r\nContent-Length: 50000\r\n\r\n",
        served.path()
    );
    let slow = [b"".to_vec(), b"GET / HTTP/1.1\r\nX-Slow: ".to_vec(), body.into_bytes()];
    std::thread::scope(|scope| {
        let all: Vec<_> =
            slow.iter().map(|head| scope.spawn(|| patience_with(&address, head, pause))).collect();
        // Others are served meanwhile.
        for _ in 0..10 {
            assert_eq!(get(&served, "api/bundle").status, 200);
        }
        for (head, took) in slow.iter().zip(all) {
            let took = took.join().unwrap();
            assert!(took < Duration::from_secs(6), "{took:?} of {:?}", String::from_utf8_lossy(head));
        }
    });
}

#[test]
fn more_connections_than_places_are_closed_at_once() {
    let base = Base::new();
    small(&base);
    let limits = Limits { head: Duration::from_secs(12), connections: 8, ..Limits::default() };
    let served = base.serve(limits);
    let begun = Instant::now();
    let silent: Vec<_> = (0..30).map(|_| TcpStream::connect(served.address()).unwrap()).collect();
    let is_open = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!((&mut &*stream).read(&mut [0]), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    };
    while silent.iter().filter(|stream| is_open(stream)).count() > 8 {
        assert!(begun.elapsed() < Duration::from_secs(8), "more are held than there are places");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(silent.iter().filter(|stream| is_open(stream)).count(), 8);
    // The places come back, with the clients or with the end of patience.
    while silent.iter().any(is_open) {
        assert!(begun.elapsed() < Duration::from_secs(30), "they are held for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(get(&served, "api/bundle").status, 200);
}

#[test]
fn who_does_not_read_the_answer_is_cut_off() {
    let base = Base::new();
    // Pages that do not fit in the buffers of a connection: each of these bytes is written out.
    let text = format!("{}\n", "\u{1}".repeat(250)).repeat(4000);
    base.draft(|draft| {
        crate::demo::put(
            draft,
            "files/0001.txt",
            tracewell_bundle::Kind::Text,
            "a test",
            &[],
            text.as_bytes(),
        );
    });
    let limits = Limits { connection: Duration::from_secs(2), connections: 2, ..Limits::default() };
    let served = base.serve(limits);
    let mut held = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(served.address()).unwrap();
        rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
        let request =
            format!("GET {}api/lines?member=0 HTTP/1.1\r\nHost: {}\r\n\r\n", served.path(), served.address());
        (&mut &stream).write_all(request.as_bytes()).unwrap();
        held.push(stream);
    }
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(get(&served, "api/bundle").status, 200, "their places are free again");
}
