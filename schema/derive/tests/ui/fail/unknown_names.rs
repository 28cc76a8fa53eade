use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "Test", category = "prozess", level = "verbose", text = "")]
struct Test {}

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", levle = "info")]
struct Misspelt {}

fn main() {}
