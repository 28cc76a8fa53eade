const JSON: bool = false;
include!("../tracing_peer.rs");
fn main() {
    tracewell_peers::main::<T>()
}
