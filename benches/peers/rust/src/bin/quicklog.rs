// quicklog 0.1: one global single-producer queue of boxed closures (1000000), drops when full; formats in the flushing thread.
// One producer thread only (its global state is not synchronised). No run-time level. Its own FileFlusher reopens the file for every line, so this brings a buffered one.
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use tracewell_peers::*;
struct Buf(std::io::BufWriter<std::fs::File>);
impl quicklog_flush::Flush for Buf {
    fn flush_one(&mut self, line: String) {
        self.0.write_all(line.as_bytes()).unwrap()
    }
}
pub struct Q {
    stop: Arc<AtomicBool>,
    th: std::thread::JoinHandle<()>,
    off: AtomicBool,
}
impl Peer for Q {
    fn init(args: &Args) -> Q {
        quicklog::init!();
        quicklog::logger().use_flush(Box::new(Buf(std::io::BufWriter::with_capacity(
            1 << 16,
            std::fs::File::create(&args.out).unwrap(),
        ))));
        let stop = Arc::new(AtomicBool::new(false));
        let s = stop.clone();
        let th = std::thread::spawn(move || {
            loop {
                let last = s.load(Acquire);
                while quicklog::try_flush!().is_ok() {}
                if last {
                    quicklog::logger().use_flush(Box::new(quicklog_flush::noop_flusher::NoopFlusher));
                    break;
                }
                std::thread::sleep(std::time::Duration::from_micros(50))
            }
        });
        Q { stop, th, off: AtomicBool::new(false) }
    }
    #[inline]
    fn w0(&self) {
        if self.off.load(Relaxed) {
            return;
        }
        quicklog::info!("heartbeat agent is alive and has nothing to report")
    }
    #[inline]
    fn w1(&self, n: &NetRecord) {
        if self.off.load(Relaxed) {
            return;
        }
        quicklog::info!(
            "net src={} dst={} sport={} dport={} proto={} bytes={}",
            n.src,
            n.dst,
            n.sport,
            n.dport,
            n.proto,
            n.bytes
        )
    }
    #[inline]
    fn w2(&self, l: &LaunchRecord) {
        if self.off.load(Relaxed) {
            return;
        }
        quicklog::info!(
            "launch pid={} ppid={} size={} sha256={} path={} cmd={}",
            l.pid,
            l.ppid,
            l.size,
            l.sha.as_str(),
            l.path.as_str(),
            l.cmd.as_str()
        )
    }
    fn disable(&self) {
        self.off.store(true, Relaxed)
    }
    fn finish(self, _called: u64) -> Finished {
        self.stop.store(true, Release);
        self.th.join().unwrap();
        Finished::default()
    }
}
fn main() {
    tracewell_peers::main::<Q>()
}
