// fast_log: crossbeam channel (bounded 100000, blocks), formats arguments in the caller, the line in the background.
use tracewell_peers::*;
pub struct F;
impl Peer for F {
    fn init(args: &Args) -> F {
        let _ = std::fs::remove_file(&args.out);
        fast_log::init(
            fast_log::Config::new().file(&args.out).chan_len(Some(100_000)).level(log::LevelFilter::Info),
        )
        .unwrap();
        F
    }
    #[inline]
    fn w0(&self) {
        log::info!("heartbeat agent is alive and has nothing to report")
    }
    #[inline]
    fn w1(&self, n: &NetRecord) {
        log::info!(
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
        log::info!(
            "launch pid={} ppid={} size={} sha256={} path={} cmd={}",
            l.pid,
            l.ppid,
            l.size,
            l.sha,
            l.path,
            l.cmd
        )
    }
    fn disable(&self) {
        log::set_max_level(log::LevelFilter::Error)
    }
    fn finish(self, _called: u64) -> Finished {
        log::logger().flush();
        Finished::default()
    }
}
fn main() {
    tracewell_peers::main::<F>()
}
