use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema")]
struct Test {
    pid: u32,
}

#[derive(Event)]
struct Bare;

fn main() {}
