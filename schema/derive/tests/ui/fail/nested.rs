use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test<'a> {
    #[field(public)]
    list: Option<&'a [u32]>,
    #[field(public)]
    options: &'a [Option<u32>],
    #[field(public)]
    lists: &'a [&'a [u32]],
    #[field(public)]
    fine: Option<&'a [u8]>,
    #[field(public)]
    also: &'a [&'a [u8]],
}

fn main() {}
