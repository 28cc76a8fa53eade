// tracing + tracing-subscriber fmt + tracing-appender non_blocking (128000-line channel). TR_LOSSY=1 drops when full, default here blocks.
use tracewell_peers::*;
use tracing_subscriber::{Registry, filter::LevelFilter, prelude::*, reload};
pub struct T {
    guard: tracing_appender::non_blocking::WorkerGuard,
    reload: reload::Handle<LevelFilter, Registry>,
    errs: tracing_appender::non_blocking::ErrorCounter,
}
impl Peer for T {
    fn init(args: &Args) -> T {
        let lossy = std::env::var("TR_LOSSY").is_ok_and(|x| x == "1");
        let (w, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
            .lossy(lossy)
            .finish(std::fs::File::create(&args.out).unwrap());
        let errs = w.error_counter();
        let (filter, reload) = reload::Layer::new(LevelFilter::INFO);
        let fmt = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(w);
        let r = tracing_subscriber::registry().with(filter);
        if JSON {
            r.with(fmt.json()).init()
        } else {
            r.with(fmt).init()
        }
        T { guard, reload, errs }
    }
    #[inline]
    fn w0(&self) {
        tracing::info!("heartbeat agent is alive and has nothing to report")
    }
    #[inline]
    fn w1(&self, n: &NetRecord) {
        tracing::info!(
            src = n.src,
            dst = n.dst,
            sport = n.sport,
            dport = n.dport,
            proto = n.proto,
            bytes = n.bytes,
            "net"
        )
    }
    #[inline]
    fn w2(&self, l: &LaunchRecord) {
        tracing::info!(
            pid = l.pid,
            ppid = l.ppid,
            size = l.size,
            sha256 = l.sha.as_str(),
            path = l.path.as_str(),
            cmd = l.cmd.as_str(),
            "launch"
        )
    }
    fn disable(&self) {
        self.reload.reload(LevelFilter::ERROR).unwrap()
    }
    fn finish(self, _called: u64) -> Finished {
        drop(self.guard);
        let n = self.errs.dropped_lines();
        if n > 0 {
            eprintln!("dropped {n}")
        }
        Finished::default()
    }
}
