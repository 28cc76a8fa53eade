use tracewell_schema::FieldEnum;

#[derive(FieldEnum, Clone, Copy)]
#[event(crate = "tracewell_schema")]
enum Data {
    One(u32),
}

#[derive(FieldEnum, Clone, Copy)]
#[event(crate = "tracewell_schema")]
struct NoEnum {
    field: u32,
}

#[derive(FieldEnum, Clone, Copy)]
#[event(crate = "tracewell_schema")]
enum Twice {
    One,
    #[value("one")]
    Two,
}

#[derive(FieldEnum, Clone, Copy)]
#[event(crate = "tracewell_schema")]
enum Empty {}

fn main() {}
