const JSON: bool = true;
include!("../tracing_peer.rs");
fn main() {
    tracewell_peers::main::<T>()
}
