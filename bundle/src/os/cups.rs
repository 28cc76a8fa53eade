//! CUPS is asked for its queues, by IPP over its socket: it tells every user, its files only root.

use std::io::{Cursor, Read, Write};
use std::os::unix::net::UnixStream;

use ipp::attribute::IppAttribute;
use ipp::model::DelimiterTag;
use ipp::operation::builder::IppOperationBuilder;
use ipp::parser::IppParser;
use ipp::reader::IppReader;
use ipp::request::IppRequestResponse;
use ipp::value::IppValue;
use serde_json::{Value, json};

use super::context::Context;
use super::packages::without_credentials;

/// Where it listens.
const SOCKET: &str = "/run/cups/cups.sock";
/// Longest answer.
const MAX_ANSWER: u64 = 8 << 20;

/// The queues, or why there are none to be had.
pub(super) fn queues(context: &Context) -> Result<Value, String> {
    if !context.root().has(SOCKET) {
        return Err("not found: CUPS does not run".into());
    }
    let answer = ask(context).map_err(|e| e.to_string())?;
    let reader = IppReader::new(Cursor::new(answer));
    let (header, attributes, _) = IppParser::new(reader).parse_parts().map_err(|e| e.to_string())?;
    let status = header.status_code();
    // No printers are "not found", which is an answer.
    if !status.is_success() && status != ipp::model::StatusCode::ClientErrorNotFound {
        return Err(format!("CUPS answers: {status}"));
    }
    let queues = attributes.groups_of(DelimiterTag::PrinterAttributes).map(|group| {
        let get = |name: &str| group.get(name).map(text);
        json!({
            "name": get("printer-name"),
            "uri": get("device-uri").map(|uri| without_credentials(&uri)),
            "info": get("printer-info"),
            "place": get("printer-location"),
            "make_and_model": get("printer-make-and-model"),
            "state": group.get("printer-state").map(state),
            "reasons": get("printer-state-reasons"),
            "accepting": group.get("printer-is-accepting-jobs").map(value),
            "shared": group.get("printer-is-shared").map(value),
            "jobs": group.get("queued-job-count").map(value),
            "temporary": group.get("printer-is-temporary").map(value),
            "formats": group.get("document-format-supported").map(list),
        })
    });
    Ok(Value::Array(queues.collect()))
}

/// The answer's body.
fn ask(context: &Context) -> std::io::Result<Vec<u8>> {
    let request = IppRequestResponse::from(IppOperationBuilder::cups().get_printers()).to_bytes();
    let mut stream = UnixStream::connect(context.root().real(SOCKET))?;
    stream.set_read_timeout(Some(context.left()))?;
    stream.set_write_timeout(Some(context.left()))?;
    // HTTP/1.0: the answer is not in chunks and ends with the connection.
    let head = format!(
        "POST / HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/ipp\r\nContent-Length: {}\r\n\r\n",
        request.len()
    );
    stream.write_all(&[head.as_bytes(), &request].concat())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    let wrong = |what: &str| std::io::Error::other(format!("CUPS answers something else: {what}"));
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(|| wrong("no header"))?;
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).into_owned();
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(wrong(head.lines().next().unwrap_or_default()));
    }
    answer.drain(..end + 4);
    Ok(answer)
}

fn text(attribute: &IppAttribute) -> String {
    attribute.value().to_string()
}

fn value(attribute: &IppAttribute) -> Value {
    match attribute.value() {
        IppValue::Boolean(yes) => json!(yes),
        IppValue::Integer(number) => json!(number),
        other => json!(other.to_string()),
    }
}

fn list(attribute: &IppAttribute) -> Vec<String> {
    match attribute.value() {
        IppValue::Array(all) => all.iter().take(100).map(ToString::to_string).collect(),
        one => vec![one.to_string()],
    }
}

fn state(attribute: &IppAttribute) -> String {
    match attribute.value() {
        IppValue::Enum(3) => "idle".into(),
        IppValue::Enum(4) => "processing".into(),
        IppValue::Enum(5) => "stopped".into(),
        other => other.to_string(),
    }
}
