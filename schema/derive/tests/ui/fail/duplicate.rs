use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
#[event(name = "custom.again")]
struct Test {
    #[field(public, personal)]
    pid: u32,
    #[field(public, unit = "s", unit = "ms")]
    time: u64,
}

fn main() {}
