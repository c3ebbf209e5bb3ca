//! Tar members as POSIX.1-2001 (pax) has them, so that GNU tar and bsdtar extract everything.
//!
//! Names of up to 100 bytes stand in the header as they are. Longer ones stand in a pax record if
//! they are UTF-8, which pax asks for, and otherwise in GNU's long-name member, which takes bytes.
//! Times with nanoseconds, times before 1970 and extended attributes are pax records.

use tar::{EntryType, Header};

use crate::format::entry::Entry;

/// What everything in a tar stream is aligned to.
const BLOCK: usize = 512;

/// Bytes of a name that a header holds.
const NAME: usize = 100;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member<'a> {
    /// A file, of which so many bytes follow.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(&'a [u8]),
    /// Another name of a member that came before.
    HardLink(&'a [u8]),
}

/// Appends everything that comes before a member's contents.
pub fn begin(out: &mut Vec<u8>, entry: &Entry, member: Member<'_>) {
    let metadata = &entry.metadata;
    let (kind, size, target) = match member {
        Member::File(size) => (EntryType::Regular, size, None),
        Member::Directory => (EntryType::Directory, 0, None),
        Member::Symlink(target) => (EntryType::Symlink, 0, Some(target)),
        Member::HardLink(target) => (EntryType::Link, 0, Some(target)),
    };
    let mut name = match entry.name.is_root() {
        true => b".".to_vec(),
        false => entry.name.as_bytes().to_vec(),
    };
    if member == Member::Directory {
        name.push(b'/');
    }

    let mut records = Vec::new();
    long_name(out, &mut records, &name, ("path", EntryType::GNULongName));
    if let Some(target) = target {
        long_name(
            out,
            &mut records,
            target,
            ("linkpath", EntryType::GNULongLink),
        );
    }
    if metadata.mtime_ns < 0 || metadata.mtime_ns % NANOS != 0 {
        record(
            &mut records,
            b"mtime",
            seconds(metadata.mtime_ns).as_bytes(),
        );
    }
    for (name, value) in &entry.xattrs {
        record(&mut records, &xattr_keyword(name), value);
    }
    if !records.is_empty() {
        let mut header = header(EntryType::XHeader, b"././@PaxHeader", records.len() as u64);
        header.set_mode(0o644);
        append(out, &mut header);
        out.extend_from_slice(&records);
        pad(out, records.len() as u64);
    }

    let mut header = header(kind, &name, size);
    header.set_mode(metadata.mode);
    header.set_uid(u64::from(metadata.uid));
    header.set_gid(u64::from(metadata.gid));
    header.set_mtime(u64::try_from(metadata.mtime_ns / NANOS).unwrap_or(0));
    if let Some(target) = target {
        let cut = target.len().min(NAME);
        header.as_old_mut().linkname[..cut].copy_from_slice(&target[..cut]);
    }
    append(out, &mut header);
}

/// Fills up to the next block after contents of `size` bytes.
pub fn pad(out: &mut Vec<u8>, size: u64) {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    if over > 0 {
        out.resize(out.len() + BLOCK - over, 0);
    }
}

/// The end of a stream.
pub fn end(out: &mut Vec<u8>) {
    out.resize(out.len() + 2 * BLOCK, 0);
}

const NANOS: i64 = 1_000_000_000;

fn header(kind: EntryType, name: &[u8], size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let cut = name.len().min(NAME);
    header.as_old_mut().name[..cut].copy_from_slice(&name[..cut]);
    header
}

fn append(out: &mut Vec<u8>, header: &mut Header) {
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
}

/// Sees to a name that the header cannot hold.
fn long_name(
    out: &mut Vec<u8>,
    records: &mut Vec<u8>,
    name: &[u8],
    (keyword, kind): (&str, EntryType),
) {
    if name.len() <= NAME {
        return;
    }
    if std::str::from_utf8(name).is_ok() {
        return record(records, keyword.as_bytes(), name);
    }
    let length = name.len() as u64 + 1;
    append(out, &mut header(kind, b"././@LongLink", length));
    out.extend_from_slice(name);
    out.push(0);
    pad(out, length);
}

/// A pax record, `<length> <keyword>=<value>\n`, the length counting itself.
fn record(out: &mut Vec<u8>, keyword: &[u8], value: &[u8]) {
    let rest = keyword.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(keyword);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// As both tars name an attribute, with what cannot stand in a keyword encoded as GNU tar does.
fn xattr_keyword(name: &[u8]) -> Vec<u8> {
    let mut keyword = b"SCHILY.xattr.".to_vec();
    for byte in name {
        match byte {
            b'=' => keyword.extend_from_slice(b"%3D"),
            b'%' => keyword.extend_from_slice(b"%25"),
            other => keyword.push(*other),
        }
    }
    keyword
}

/// Seconds with nine decimals.
fn seconds(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let (nanos, unit) = (nanos.unsigned_abs(), NANOS.unsigned_abs());
    format!("{sign}{}.{:09}", nanos / unit, nanos % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_record_counts_itself() {
        for (value, begins) in [
            (1, "6 "),
            (4, "9 "),
            (5, "11 "),
            (92, "98 "),
            (93, "99 "),
            (94, "101 "),
        ] {
            let mut out = Vec::new();
            record(&mut out, b"k", &vec![b'v'; value]);
            let text = String::from_utf8(out).unwrap();
            assert!(text.starts_with(begins), "{value}: {text}");
            let length: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(length, text.len());
        }
    }

    #[test]
    fn times_before_1970_have_a_sign() {
        assert_eq!(seconds(1_500_000_000), "1.500000000");
        assert_eq!(seconds(-1_500_000_000), "-1.500000000");
        assert_eq!(seconds(-1), "-0.000000001");
    }
}
