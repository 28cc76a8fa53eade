use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test<'a> {
    #[field(personal, opt_in)]
    pid: u32,
    #[field(personal, opt_in)]
    fine: Option<u32>,
    #[field(personal, opt_in)]
    also: &'a str,
}

fn main() {}
