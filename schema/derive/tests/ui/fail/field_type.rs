use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test<'a> {
    #[field(public)]
    name: String,
    #[field(public)]
    owned: Vec<u32>,
    #[field(public)]
    size: Option<usize>,
    #[field(public)]
    pair: (u32, u32),
    #[field(public)]
    by_reference: &'a u32,
    #[field(public)]
    wide: u128,
    #[field(public)]
    fine: &'a str,
}

fn main() {}
