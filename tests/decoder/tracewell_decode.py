#!/usr/bin/env python3
"""A second reader of Tracewell's bytes, written from the text of schema/FORMAT.md alone.

Usage: tracewell_decode.py PATH...

Reads the segments and ring folders below each path and prints one JSON object a line, by process and ring:

  {"kind": "event", "process", "ring", "pid", "tid", "source", "sequence", "ticks", "event", "fields"}
  {"kind": "loss", "process", "ring", "sequence", "ticks", "counts"}       a loss record, before event `sequence`
  {"kind": "hole", "process", "ring", "from", "to"}                        positions that no file has
  {"kind": "counters", "process", "ring", "final", "attempted", "delivered", "lost", "read", "law"}
  {"kind": "process", "process", "pid", "component", "version", "clock", "resolution", "clocks", "rings"}
  {"kind": "damage", "file", "what"}
  {"kind": "used", FORM: count}                                            which forms the columns and codecs had

Values have the forms of reader/JSON.md. Nothing but the standard library is used; LZ4 is decompressed here.
"""

import json
import os
import re
import struct
import sys
import zlib

MIB = 1 << 20
MAX_RECORD = 65528
MAX_STORED = MIB + (64 << 10)
MAX_EVENTS = 1024
MAX_SCHEMA = 64 << 10
EVENT, LOSS, PAD = 1, 2, 3
REDUCED = 1
REASONS = ["full", "too_big", "nested", "signal", "no_ring", "forked", "disabled_race", "other"]
REDUCTIONS = ["none", "prefix", "host_only", "keyed", "length", "drop", "off"]


USED = {}


def used(form):
    USED[form] = USED.get(form, 0) + 1


class Bad(Exception):
    """Bytes that are not what FORMAT.md says."""


def need(condition, what):
    if not condition:
        raise Bad(what)


class Cursor:
    """Reads forward; every step is checked."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        need(n >= 0 and self.at + n <= len(self.data), "bytes end too early")
        self.at += n
        return self.data[self.at - n : self.at]

    def left(self):
        return len(self.data) - self.at

    def unpack(self, form):
        form = "<" + form
        values = struct.unpack(form, self.take(struct.calcsize(form)))
        return values[0] if len(values) == 1 else values

    def u8(self):
        return self.unpack("B")

    def u16(self):
        return self.unpack("H")

    def u32(self):
        return self.unpack("I")

    def u64(self):
        return self.unpack("Q")

    def ints(self, count, width):
        need(width in (1, 2, 4, 8), "impossible width")
        data = self.take(count * width)
        return list(struct.unpack("<%d%s" % (count, {1: "B", 2: "H", 4: "I", 8: "Q"}[width]), data))

    def str8(self):
        return text(self.take(self.u8()))

    def str16(self):
        n = self.u16()
        need(n <= 4096, "text is too long")
        return text(self.take(n))

    def padded(self, n):
        return text(self.take(n).split(b"\0")[0])


def text(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Bad("text is not UTF-8") from None


# --- Section 4: blocks, codecs, columns ------------------------------------------------------------------------------


def lz4(data, size):
    """One LZ4 block, which must give `size` bytes exactly."""
    out, at = bytearray(), 0

    def length(at, n):
        if n == 15:
            while True:
                need(at < len(data), "LZ4 length is cut")
                n, at = n + data[at], at + 1
                if data[at - 1] != 255:
                    break
        return at, n

    while True:
        need(at < len(data), "LZ4 token is cut")
        token, at = data[at], at + 1
        at, literals = length(at, token >> 4)
        need(at + literals <= len(data) and len(out) + literals <= size, "LZ4 literals are cut")
        out += data[at : at + literals]
        at += literals
        if at == len(data):
            break
        need(at + 2 <= len(data), "LZ4 offset is cut")
        offset, at = data[at] | data[at + 1] << 8, at + 2
        at, match = length(at, token & 15)
        match += 4
        need(0 < offset <= len(out) and len(out) + match <= size, "LZ4 match is impossible")
        while match:
            piece = out[-offset:][:match]
            out += piece
            match -= len(piece)
    need(len(out) == size, "LZ4 gives another length")
    return bytes(out)


def integer_column(cursor, rows, width):
    mask = (1 << 8 * width) - 1
    form = cursor.u8()
    used("integers %d" % form)
    if form == 0:
        return cursor.ints(rows, width)
    if form == 1:
        return [cursor.u64() & mask] * rows
    need(form in (2, 3), "unknown form of an integer column")
    n, base = cursor.u8(), cursor.u64()
    numbers = cursor.ints(rows, n)
    if form == 2:
        return [(base + x) & mask for x in numbers]
    values, value = [], base
    for z in numbers:
        value = (value + (z >> 1 ^ -(z & 1))) & 0xFFFFFFFFFFFFFFFF
        values.append(value & mask)
    return values


def byte_column(cursor, rows, width=None, lengths=None):
    form = cursor.u8()
    used("bytes %d" % form)
    if form == 0:
        return [cursor.take(width if lengths is None else lengths[row]) for row in range(rows)]
    need(form == 1, "unknown form of a byte column")
    d = cursor.u16()
    need(1 <= d <= 4096, "dictionary of an impossible size")
    sizes = [width] * d if lengths is None else cursor.ints(d, 2)
    values = [cursor.take(size) for size in sizes]
    used("dictionary of one" if d == 1 else "dictionary, u8" if d <= 256 else "dictionary, u16")
    numbers = [0] * rows if d == 1 else cursor.ints(rows, 1 if d <= 256 else 2)
    need(all(number < d for number in numbers), "number that the dictionary does not have")
    out = [values[number] for number in numbers]
    if lengths is not None:
        need(all(len(v) == n for v, n in zip(out, lengths)), "value of another length than the row wants")
    return out


def columns(data, size):
    """Columns to records of `size` bytes."""
    cursor = Cursor(data)
    count, pad, shape_count = cursor.u32(), cursor.u32(), cursor.u8()
    need(pad <= size and (pad == 0 or pad % 8 == 0), "impossible pad")
    room = size - pad
    need(count <= room // 16 and (shape_count == 0) == (count == 0), "impossible number of records")
    shapes = []
    for _ in range(shape_count):
        event, kind, flags, rows, rest = cursor.unpack("HBBIB")
        widths = cursor.ints(cursor.u16(), 2)
        offsets = cursor.ints(cursor.u16(), 2)
        fixed = sum(widths)
        need(kind != PAD and rows >= 1 and 0 not in widths, "impossible shape")
        need(len(widths) <= 510 and len(offsets) <= 255 and fixed <= 65512, "impossible layout")
        need(all(offset + 2 <= fixed for offset in offsets), "length word outside of the fixed part")
        shapes.append((event, kind, flags, rows, rest, widths, offsets, fixed))
    need(sum(s[3] for s in shapes) == count, "rows do not add up")
    need(sum(s[3] * (16 + s[7]) for s in shapes) <= room, "rows are more than the block")
    order = cursor.ints(count, 1) if shape_count > 1 else [0] * count
    used("order" if shape_count > 1 else "no order")
    used("pad" if pad else "no pad")
    for number, shape in enumerate(shapes):
        need(order.count(number) == shape[3], "order does not match the rows")

    ticks, stamp = [], 0
    while len(ticks) < count:
        group = min(256, count - len(ticks))
        width, exceptions = cursor.u8(), cursor.u8()
        differences = cursor.ints(group, width)
        used("ticks, exceptions" if exceptions else "ticks")
        for _ in range(exceptions):
            place, difference = cursor.u8(), cursor.u64()
            need(place < group, "exception outside of its group")
            differences[place] = difference
        for difference in differences:
            stamp = (stamp + difference) & 0xFFFFFFFFFFFFFFFF
            ticks.append(stamp)

    payloads = []
    for _, _, _, rows, rest, widths, offsets, fixed in shapes:
        if fixed == 0:
            parts = [b""] * rows
        elif cursor.u8() == 1:
            used("whole")
            parts = byte_column(cursor, rows, width=fixed)
        else:
            used("by value")
            pieces = []
            for width in widths:
                if width in (1, 2, 4, 8) and cursor.u8() == 0:
                    pieces.append([v.to_bytes(width, "little") for v in integer_column(cursor, rows, width)])
                else:
                    pieces.append(byte_column(cursor, rows, width=width))
            parts = [b"".join(row) for row in zip(*pieces)]
        tails = [[] for _ in range(rows)]
        for offset in offsets:
            lengths = [int.from_bytes(part[offset : offset + 2], "little") & 0x7FFF for part in parts]
            for tail, value in zip(tails, byte_column(cursor, rows, lengths=lengths)):
                tail.append(value)
        if rest:
            used("rest")
            lengths = integer_column(cursor, rows, 4)
            need(max(lengths) <= MAX_RECORD, "rest is too long")
            for tail, value in zip(tails, byte_column(cursor, rows, lengths=lengths)):
                tail.append(value)
        payloads.append(iter([part + b"".join(tail) for part, tail in zip(parts, tails)]))
    need(cursor.left() == 0, "bytes follow the columns")

    out = bytearray()
    for number, stamp in zip(order, ticks):
        event, kind, flags = shapes[number][:3]
        payload = next(payloads[number])
        length = 16 + len(payload)
        need(length <= MAX_RECORD, "record is too long")
        out += struct.pack("<IHBBQ", length, event, kind, flags, stamp) + payload
        out += bytes(-length % 8)
    if pad:
        out += struct.pack("<IHBB", pad, 0, PAD, 0) + bytes(pad - 8)
    need(len(out) == size, "columns give another length")
    return bytes(out)


def unpack_payload(codec, stored, size):
    used("codec %d" % codec)
    if codec == 0:
        need(len(stored) == size, "raw payload with two lengths")
        return stored
    if codec == 1:
        return lz4(stored, size)
    if codec == 2:
        return columns(stored, size)
    if codec == 3:
        need(len(stored) >= 4, "length of the columns is cut")
        length = int.from_bytes(stored[:4], "little")
        need(length <= MAX_STORED, "columns are too long")
        return columns(lz4(stored[4:], length), size)
    raise Bad("unknown codec %d" % codec)


def identity(cursor):
    names = ["uuid", "boot", "session", "pid", "uid", "start", "clock", "reserved", "resolution"]
    out = dict(zip(names, cursor.unpack("16s16s16sIIQB3sI")))
    out["component"], out["version"] = cursor.padded(32), cursor.padded(32)
    out["attached"], out["parent"] = cursor.unpack("q16s")
    need(out["clock"] in (1, 2, 3), "unknown clock")
    return out


def ring_info(cursor):
    ring, tid, start, started, capacity = cursor.unpack("IIQQQ")
    return {"ring": ring, "tid": tid, "start": start, "capacity": capacity, "thread": cursor.padded(32)}


def read_segment(trace, name, data):
    cursor = Cursor(data)
    header = cursor.take(256)
    need(header[:8] == b"TWSEG\r\n\x1a", "not a segment")
    need(struct.unpack_from("<H", header, 8)[0] <= 1, "a later major version")
    need(zlib.crc32(header[:252]) == struct.unpack_from("<I", header, 252)[0], "segment header: checksum")
    process = trace.process(identity(Cursor(header[32:192])))
    schemas, blocks, ended = {}, 0, False
    while cursor.left():
        need(not ended, "bytes after the end block")
        head = cursor.take(96)
        need(head[:4] == b"TWB1", "no block")
        need(zlib.crc32(head[:92]) == struct.unpack_from("<I", head, 92)[0], "block header: checksum")
        kind, codec, _flags, stored_len, size, ring, events = struct.unpack_from("<BBHIIII", head, 4)
        start, end, sequence, _first, _last, _lost = struct.unpack_from("<6Q", head, 24)
        need(head[72:80] == header[16:24], "block of another file")
        need(stored_len <= MAX_STORED and size <= MIB, "block is too long")
        stored = cursor.take(stored_len)
        need(zlib.crc32(stored) == struct.unpack_from("<I", head, 84)[0], "block payload: checksum")
        cursor.take(-stored_len % 8)
        if kind == 1:
            need(end - start == size, "range and length of a block differ")
            data_of = unpack_payload(codec, stored, size)
            found = list(records(data_of))
            need(sum(r[1] == EVENT for r in found) == events, "other number of events than the header says")
            process.add_block("segment", ring, start, end, sequence, schemas, found)
        elif 2 <= kind <= 5:
            items = Cursor(unpack_payload(codec, stored, size))
            while items.left():
                if kind == 2:
                    index, length = items.unpack("HI")
                    need(index < MAX_EVENTS and length <= MAX_SCHEMA, "impossible schema")
                    schemas[index] = schema(items.take(length))
                elif kind == 3:
                    ticks, time, _boot, _error, _epoch, _ = items.unpack("QqQIIQ")
                    process.clocks.add((ticks, time))
                elif kind == 4:
                    info = ring_info(items)
                    process.rings.setdefault(info["ring"], Ring()).info = info
                else:
                    number, flags, position, attempted, delivered, _ = items.unpack("IIQQQQ")
                    lost = list(items.unpack("8Q"))
                    process.add_counters(number, flags & 1, position, attempted, delivered, lost)
        elif kind == 6:
            need(sequence == blocks, "end block counts other blocks")
            ended = True
        blocks += 1
    need(ended or name.endswith(".open"), "no end block")


# --- Section 3: records ----------------------------------------------------------------------------------------------


def records(data):
    """(event index, kind, flags, ticks, payload, offset) of each record."""
    at = 0
    while at < len(data):
        need(at + 8 <= len(data), "record is cut")
        length, event, kind, flags = struct.unpack_from("<IHBB", data, at)
        need(kind in (EVENT, LOSS, PAD), "unknown kind of record")
        if kind == PAD:
            need(length >= 8 and length % 8 == 0, "impossible pad")
        else:
            need(16 <= length <= MAX_RECORD, "impossible length of a record")
        need(at + length <= len(data), "record is cut")
        ticks = struct.unpack_from("<Q", data, at + 8)[0] if length >= 16 else 0
        yield event, kind, flags, ticks, data[at + 16 : at + length], at
        at += length + -length % 8


# --- Sections 1 and 2: schemas and values ----------------------------------------------------------------------------

SIMPLE = {
    1: ("bool", 1), 2: ("u8", 1), 3: ("u16", 2), 4: ("u32", 4), 5: ("u64", 8), 6: ("i8", 1), 7: ("i16", 2),
    8: ("i32", 4), 9: ("i64", 8), 10: ("f64", 8), 11: ("str", 2), 12: ("bytes", 2), 14: ("ip", 17),
    15: ("socket", 19), 16: ("time", 8), 17: ("duration", 8), 22: ("secret", 17), 23: ("key128", 16), 24: ("id64", 8),
}


def type_of(cursor):
    """(name, bytes of the fixed form, what else is known)."""
    code = cursor.u8()
    if code in SIMPLE:
        return SIMPLE[code] + (None,)
    if code == 13:
        n = cursor.u16()
        need(1 <= n <= 1024, "fixed bytes of an impossible length")
        return "fixed", n, None
    if code == 18:
        return "enum", 4, [(cursor.u32(), cursor.str8()) for _ in range(cursor.u16())]
    if code == 19:
        return "flags", 8, [(cursor.u64(), cursor.str8()) for _ in range(cursor.u16())]
    need(code in (20, 21), "unknown type")
    inner = type_of(cursor)
    need(inner[0] not in ("optional", "list", "secret"), "type that cannot be in another")
    return ("optional", 1 + inner[1], inner) if code == 20 else ("list", 2, inner)


def schema(blob):
    cursor = Cursor(blob)
    need(cursor.u16() == 1, "schema of another version")
    out = {"name": cursor.str8()}
    out["category"], out["level"], out["flags"] = cursor.unpack("BBB")
    out["doc"], out["text"] = cursor.str16(), cursor.str16()
    out["fields"] = []
    for _ in range(cursor.u8()):
        name, kind = cursor.str8(), type_of(cursor)
        _class, _flags, code, _n, _m = cursor.unpack("BBBHH")
        need(code < len(REDUCTIONS), "unknown reduction")
        _unit, _doc = cursor.str8(), cursor.str16()
        out["fields"].append((name, kind, code))
    need(cursor.left() == 0, "bytes follow the schema")
    return out


def exact(number):
    """Integers beyond 2^53 are strings."""
    return str(number) if abs(number) > 1 << 53 else number


def ip_text(kind, data):
    if kind == 0:
        return None
    if kind == 4:
        return "%d.%d.%d.%d" % tuple(data[:4])
    if kind == 0x4B:
        return data.hex()
    need(kind == 6, "unknown kind of address")
    if data[:12] == bytes(10) + b"\xff\xff":
        return "::ffff:%d.%d.%d.%d" % tuple(data[12:])
    groups = ["%x" % g for g in struct.unpack(">8H", data)]
    best, at = 1, None
    for start in range(8):
        run = 0
        while start + run < 8 and groups[start + run] == "0":
            run += 1
        if run > best:
            best, at = run, start
    if at is None:
        return ":".join(groups)
    return ":".join(groups[:at]) + "::" + ":".join(groups[at + best :])


def maybe_cut(word, value):
    return {"cut": value} if word & 0x8000 else value


SECRET_LENGTHS = ["empty", "1..7", "8..15", "16..31", "32..63", "64 or more"]


def value(kind, fixed, variable):
    name, width, more = kind
    if name == "bool":
        byte = fixed.u8()
        need(byte <= 1, "bool is neither 0 nor 1")
        return byte == 1
    if name in ("u8", "u16", "u32", "u64", "duration"):
        return exact(int.from_bytes(fixed.take(width), "little"))
    if name in ("i8", "i16", "i32", "i64", "time"):
        return exact(int.from_bytes(fixed.take(width), "little", signed=True))
    if name == "f64":
        number = fixed.unpack("d")
        if number != number:
            return "NaN"
        return number if abs(number) != float("inf") else "inf" if number > 0 else "-inf"
    if name in ("str", "bytes"):
        word = fixed.u16()
        data = variable.take(word & 0x7FFF)
        return maybe_cut(word, data.decode("utf-8", "replace") if name == "str" else data.hex())
    if name in ("fixed", "key128"):
        return fixed.take(width).hex()
    if name == "ip":
        return ip_text(fixed.u8(), fixed.take(16))
    if name == "socket":
        kind_of, data, port = fixed.unpack("B16sH")
        address = ip_text(kind_of, data)
        if address is None:
            return None
        return ("[%s]:%d" if kind_of == 6 else "%s:%d") % (address, port)
    if name == "enum":
        number = fixed.u32()
        return next((n for v, n in more if v == number), number)
    if name == "flags":
        bits = rest = fixed.u64()
        names = []
        for mask, label in more:
            if mask and bits & mask == mask:
                names.append(label)
                rest &= ~mask
        return names + (["0x%x" % rest] if rest else [])
    if name == "optional":
        present = fixed.u8()
        form = fixed.take(more[1])
        need(present <= 1, "optional is neither there nor not")
        return value(more, Cursor(form), variable) if present else None
    if name == "list":
        word = fixed.u16()
        items, out = Cursor(variable.take(word & 0x7FFF)), []
        while items.left():
            # The fixed form of an item, then its variable bytes.
            out.append(value(more, Cursor(items.take(more[1])), items))
        return maybe_cut(word, out)
    if name == "secret":
        length, data = fixed.u8(), fixed.take(16)
        if length == 255:
            return None
        need(length < len(SECRET_LENGTHS), "unknown length class")
        return {"secret_bytes": SECRET_LENGTHS[length], "keyed": data.hex()}
    need(name == "id64", "unknown type")
    number = fixed.u64()
    return "%016x" % number if number else None


def fields(described, flags, payload):
    trailer = {}
    if flags & REDUCED:
        need(payload, "trailer is missing")
        n = payload[-1]
        need(len(payload) >= 1 + 2 * n, "trailer is cut")
        pairs = payload[len(payload) - 1 - 2 * n : -1]
        trailer = dict(zip(pairs[::2], pairs[1::2]))
        payload = payload[: len(payload) - 1 - 2 * n]
    width = sum(kind[1] for _, kind, _ in described["fields"])
    need(len(payload) >= width, "event is shorter than its fixed part")
    fixed, variable = Cursor(payload[:width]), Cursor(payload[width:])
    out = {}
    for index, (name, kind, own) in enumerate(described["fields"]):
        code = trailer.get(index, own)
        need(code < len(REDUCTIONS), "unknown reduction")
        reduction = REDUCTIONS[code]
        found = value(kind, fixed, variable)
        if reduction == "off":
            continue
        if reduction == "none":
            out[name] = found
            continue
        if reduction == "drop" or kind[0] == "list" and reduction in ("keyed", "length"):
            found = None
        out[name] = {"reduced": reduction, "value": found}
    return out


# --- Section 5: ring folders -----------------------------------------------------------------------------------------


def read_ring_folder(trace, folder):
    with open(os.path.join(folder, "process"), "rb") as file:
        data = file.read()
    need(len(data) == 4096 and data[:8] == b"TWPROC\r\n", "not a process file")
    need(struct.unpack_from("<H", data, 8)[0] == 1, "process file of another major version")
    need(zlib.crc32(data[:176]) == struct.unpack_from("<I", data, 176)[0], "process file: checksum")
    process = trace.process(identity(Cursor(data[16:176])))
    for at in range(256, 256 + 64 * 48, 48):
        ticks, time = struct.unpack_from("<Qq", data, at)
        if ticks and zlib.crc32(data[at : at + 40]) == struct.unpack_from("<I", data, at + 40)[0]:
            process.clocks.add((ticks, time))
    schemas = {}
    try:
        with open(os.path.join(folder, "schemas"), "rb") as file:
            items = Cursor(file.read())
        while items.left():
            index, length, crc = items.unpack("HII")
            need(index < MAX_EVENTS and length <= MAX_SCHEMA, "impossible schema")
            blob = items.take(length)
            need(zlib.crc32(blob) == crc, "schema: checksum")
            schemas[index] = schema(blob)
    except (Bad, FileNotFoundError):
        pass  # An item that was cut by a kill is used by no record.
    for name in sorted(os.listdir(folder)):
        if re.fullmatch(r"ring-\d+", name):
            path = os.path.join(folder, name)
            trace.guard(path, lambda path=path: read_ring(process, schemas, path))


def read_ring(process, schemas, path):
    with open(path, "rb") as file:
        page = file.read(4096)
        cursor = Cursor(page)
        need(cursor.take(8) == b"TWRING\r\n", "not a ring")
        major, _minor, page_size, capacity = cursor.unpack("HHIQ")
        need(major == 1 and page_size == 4096, "ring of another version")
        need(64 << 10 <= capacity <= 256 << 20 and capacity & capacity - 1 == 0, "impossible capacity")
        need(cursor.take(16) == process.identity["uuid"], "ring of another process")
        state, _ = cursor.unpack("II")
        info = ring_info(cursor)
        start_sequence, crc = cursor.unpack("QI")
        need(zlib.crc32(page[:40] + page[48:120]) == crc, "ring header: checksum")
        head, attempted, _ = struct.unpack_from("<3Q", page, 192)
        lost = list(struct.unpack_from("<8Q", page, 256))
        tail, sequence = struct.unpack_from("<2Q", page, 320)
        if state == 0:
            return
        need(tail <= head <= tail + capacity, "head and tail contradict each other")
        ring = process.rings.setdefault(info["ring"], Ring())
        ring.info = ring.info or info
        at = tail
        while at < head:
            # No record reaches beyond the end of a lap.
            end = min(head, at - at % capacity + capacity)
            file.seek(4096 + at % capacity)
            found = list(records(file.read(end - at)))
            process.add_block("ring", info["ring"], at, end, sequence, schemas, found)
            sequence += sum(r[1] == EVENT for r in found)
            at = end
        attempted += lost[2] + lost[3]
        process.add_counters(info["ring"], 1, head, attempted, sequence - start_sequence, lost)


# --- All together ----------------------------------------------------------------------------------------------------


class Ring:
    def __init__(self):
        self.info, self.blocks, self.counters = None, [], None


class Process:
    def __init__(self, known):
        self.identity, self.rings, self.clocks = known, {}, set()

    def add_block(self, source, ring, start, end, sequence, schemas, found):
        self.rings.setdefault(ring, Ring()).blocks.append((start, end, source, sequence, schemas, found))

    def add_counters(self, ring, final, position, attempted, delivered, lost):
        ring = self.rings.setdefault(ring, Ring())
        # Counts only grow; what is final is told last.
        new = (position, attempted, final, delivered, lost)
        if ring.counters is None or new[:3] >= ring.counters[:3]:
            ring.counters = new


class Trace:
    def __init__(self, put):
        self.processes, self.put = {}, put

    def process(self, known):
        return self.processes.setdefault(known["uuid"], Process(known))

    def guard(self, path, call):
        try:
            call()
        except (Bad, OSError) as error:
            self.put({"kind": "damage", "file": path, "what": str(error)})

    def open(self, path):
        segments, folders = [], []
        for folder, _, names in os.walk(path):
            segments += [os.path.join(folder, n) for n in names if re.search(r"\.twseg(\.open)?$", n)]
            folders += [folder] if "process" in names else []
        for name in sorted(segments):
            def read(name=name):
                with open(name, "rb") as file:
                    read_segment(self, name, file.read())
            self.guard(name, read)
        for folder in sorted(folders):
            self.guard(folder, lambda folder=folder: read_ring_folder(self, folder))

    def tell(self):
        for uuid, process in sorted(self.processes.items()):
            for number, ring in sorted(process.rings.items()):
                self.tell_ring(uuid.hex(), process, number, ring)
            known = process.identity
            self.put({
                "kind": "process", "process": uuid.hex(), "pid": known["pid"], "component": known["component"],
                "version": known["version"], "clock": known["clock"], "resolution": known["resolution"],
                "clocks": len(process.clocks), "rings": sum(number != 0 for number in process.rings),
            })

    def tell_ring(self, uuid, process, number, ring):
        where = {"process": uuid, "ring": number}
        seen, count = ring.info["start"] if ring.info else 0, 0
        for start, end, source, sequence, schemas, found in sorted(ring.blocks, key=lambda b: b[:2]):
            if start < seen and end <= seen:
                continue
            if start > seen:
                self.put({"kind": "hole", **where, "from": seen, "to": start})
            for event, kind, flags, ticks, payload, offset in found:
                is_new = start + offset >= seen
                if kind == EVENT:
                    if is_new:
                        line = {"kind": "event", **where, "pid": process.identity["pid"]}
                        line.update({"tid": ring.info["tid"] if ring.info else 0, "source": source})
                        line.update({"sequence": sequence, "ticks": ticks})
                        self.tell_event(line, schemas.get(event), flags, payload)
                        count += 1
                    sequence += 1
                elif kind == LOSS and is_new:
                    counts = dict(zip(REASONS, struct.unpack_from("<8Q", payload)))
                    self.put({"kind": "loss", **where, "sequence": sequence, "ticks": ticks, "counts": counts})
            seen = end
        if ring.counters:
            _, attempted, final, delivered, lost = ring.counters
            law = attempted - delivered - sum(lost)
            self.put({
                "kind": "counters", **where, "final": bool(final), "attempted": attempted, "delivered": delivered,
                "lost": dict(zip(REASONS, lost)), "read": count, "law": law,
            })

    def tell_event(self, line, described, flags, payload):
        try:
            need(described is not None, "event without a schema")
            line.update({"event": described["name"], "fields": fields(described, flags, payload)})
        except Bad as error:
            line["undecodable"] = str(error)
        self.put(line)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    trace = Trace(lambda line: print(json.dumps(line)))
    for path in sys.argv[1:]:
        trace.open(path)
    trace.tell()
    trace.put({"kind": "used", **USED})


if __name__ == "__main__":
    main()
