use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Types<T> {
    #[field(public)]
    value: T,
}

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Lifetimes<'a, 'b> {
    #[field(public)]
    one: &'a str,
    #[field(public)]
    two: &'b str,
}

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Length<const N: usize> {
    #[field(public)]
    bytes: [u8; N],
}

fn main() {}
