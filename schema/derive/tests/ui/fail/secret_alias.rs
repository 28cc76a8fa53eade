use tracewell_schema::Event;

type Pin = u32;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test {
    #[field(secret)]
    pin: Pin,
}

fn main() {}
