use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test {
    pid: u32,
    #[field(unit = "bytes")]
    size: u64,
}

fn main() {}
