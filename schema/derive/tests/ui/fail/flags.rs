use tracewell_schema::FieldFlags;

#[derive(FieldFlags)]
#[event(crate = "tracewell_schema")]
struct NoFlags(u32);

#[derive(FieldFlags)]
#[event(crate = "tracewell_schema")]
#[flags(ONE = 1)]
struct Named {
    bits: u32,
}

#[derive(FieldFlags)]
#[event(crate = "tracewell_schema")]
#[flags(ONE)]
struct NoMask(u32);

#[derive(FieldFlags)]
#[event(crate = "tracewell_schema")]
#[flags(ONE = 1)]
struct Signed(i32);

fn main() {}
