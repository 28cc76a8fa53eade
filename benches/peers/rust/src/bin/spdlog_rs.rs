// spdlog-rs: AsyncPoolSink (131072 slots, blocks) over FileSink; formats arguments in the caller, the line in the background.
use spdlog::prelude::*;
use std::sync::Arc;
use tracewell_peers::*;
pub struct S(Arc<spdlog::Logger>, Arc<spdlog::sink::AsyncPoolSink>, Arc<spdlog::ThreadPool>);
impl Peer for S {
    fn init(args: &Args) -> S {
        let file =
            Arc::new(spdlog::sink::FileSink::builder().path(&args.out).truncate(true).build().unwrap());
        let pool =
            Arc::new(spdlog::ThreadPool::builder().capacity(131072.try_into().unwrap()).build().unwrap());
        let sink = Arc::new(
            spdlog::sink::AsyncPoolSink::builder()
                .sink(file)
                .overflow_policy(spdlog::sink::OverflowPolicy::Block)
                .thread_pool(pool.clone())
                .build()
                .unwrap(),
        );
        let lg = Arc::new(
            spdlog::Logger::builder()
                .sink(sink.clone())
                .level_filter(spdlog::LevelFilter::MoreSevereEqual(spdlog::Level::Info))
                .build()
                .unwrap(),
        );
        S(lg, sink, pool)
    }
    #[inline]
    fn w0(&self) {
        info!(logger: self.0, "heartbeat agent is alive and has nothing to report")
    }
    #[inline]
    fn w1(&self, n: &NetRecord) {
        info!(logger: self.0, "net src={} dst={} sport={} dport={} proto={} bytes={}", n.src, n.dst, n.sport, n.dport, n.proto, n.bytes)
    }
    #[inline]
    fn w2(&self, l: &LaunchRecord) {
        info!(logger: self.0, "launch pid={} ppid={} size={} sha256={} path={} cmd={}", l.pid, l.ppid, l.size, l.sha, l.path, l.cmd)
    }
    fn disable(&self) {
        self.0.set_level_filter(spdlog::LevelFilter::MoreSevereEqual(spdlog::Level::Error))
    }
    fn finish(self, _called: u64) -> Finished {
        let S(lg, sink, pool) = self;
        drop(lg);
        drop(sink);
        drop(pool); // the pool joins its worker
        Finished::default()
    }
}
fn main() {
    tracewell_peers::main::<S>()
}
