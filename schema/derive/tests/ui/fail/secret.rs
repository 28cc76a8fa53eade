use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test<'a> {
    #[field(secret)]
    pin: u32,
    #[field(secret)]
    word: String,
    #[field(secret)]
    list: &'a [&'a str],
    #[field(secret, reduce = "length")]
    reduced: &'a str,
    #[field(secret)]
    fine: Option<&'a str>,
}

fn main() {}
