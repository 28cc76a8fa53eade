// ftlog: crossbeam channel of 100000, formats arguments in the caller. FT_DROP=1 drops when full (its default), default here blocks.
use tracewell_peers::*;
pub struct F(ftlog::LoggerGuard);
impl Peer for F {
    fn init(args: &Args) -> F {
        let block = !std::env::var("FT_DROP").is_ok_and(|x| x == "1");
        F(ftlog::builder()
            .max_log_level(ftlog::LevelFilter::Info)
            .bounded(100_000, block)
            .utc()
            .root(std::io::BufWriter::with_capacity(1 << 16, std::fs::File::create(&args.out).unwrap()))
            .try_init()
            .unwrap())
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
        drop(self.0);
        Finished::default()
    }
}
fn main() {
    tracewell_peers::main::<F>()
}
