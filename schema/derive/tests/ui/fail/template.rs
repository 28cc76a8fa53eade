use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "{image} was launched")]
struct Unknown<'a> {
    #[field(public)]
    image_path: &'a str,
}

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "open {image")]
struct Open {}

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "closed }")]
struct Closed {}

fn main() {}
