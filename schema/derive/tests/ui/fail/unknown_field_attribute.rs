use tracewell_schema::Event;

#[derive(Event)]
#[event(crate = "tracewell_schema", name = "custom.test", category = "custom", level = "info", text = "")]
struct Test<'a> {
    #[field(privat)]
    pid: u32,
    #[field(public, reduce = "hash")]
    name: &'a str,
    #[field(public, max = 40000)]
    path: &'a str,
    #[field(public, max = "40")]
    other: &'a str,
}

fn main() {}
