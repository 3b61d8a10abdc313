//! Reading and writing a manifest: lines of JSON in zstd frames, with the sketch in a skippable
//! frame between.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::error::{Error, Result, damaged};
use super::file;
use super::limits::{
    HeaderBudget, Lines, MAX_HEADER, MAX_LINE, MAX_LINES, MAX_WEIGHT, WINDOW_LOG, check_weight,
    header_weight_limit, text_limit, weight,
};
use crate::fs::At;
use crate::model::manifest::{Entry, Header, KeptFile, Manifest, Source, Unit};
use crate::model::sketch::Sketch;
use crate::model::unit_graph::UnitGraph;

/// The zstd level of manifests. They are small and read often; 3 is zstd's default.
const LEVEL: i32 = 3;

/// The magic number of the sketch's frame: the first of 16 for skippable frames, which every zstd
/// decoder skips (RFC 8878, section 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A50;

/// The longest sketch that is read, in bytes, both compressed and as text. The sketch of 525 units
/// has 23 kB compressed.
const MAX_SKETCH_LEN: u32 = 16 << 20;

/// The first line, which every version of this program can read.
#[derive(Serialize, Deserialize)]
struct First<H> {
    manifest: u32,
    header: H,
}

/// Any further line.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Entry(&'a Entry),
    Source(&'a Source),
    Kept(&'a KeptFile),
    Unit(&'a Unit),
    End { lines: u64, graph: &'a UnitGraph },
}

/// A further line, as read.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OwnedLine {
    Entry(Entry),
    Source(Source),
    Kept(KeptFile),
    Unit(Unit),
    End {
        lines: u64,
        #[serde(default)]
        graph: UnitGraph,
    },
}

/// Writes `manifest` to `file`, compressed and whole.
pub(super) fn write(manifest: &Manifest, mut file: &File) -> io::Result<()> {
    let mut header = serde_json::to_vec(&First { manifest: FORMAT, header: &manifest.header })?;
    header.push(b'\n');
    if header.len() as u64 > MAX_HEADER {
        return Err(too_much("its header"));
    }
    file.write_all(&frame(&header)?)?;
    if let Some(sketch) = Sketch::of(manifest) {
        let text = serde_json::to_vec(&sketch)?;
        let sketch = frame(&text)?;
        // Leave out a sketch that readers would refuse; only choosing uses it.
        let longest = u32::try_from(text.len().max(sketch.len())).unwrap_or(u32::MAX);
        if longest <= MAX_SKETCH_LEN
            && check_weight(&text, MAX_WEIGHT).is_ok()
            && let Ok(len) = u32::try_from(sketch.len())
        {
            file.write_all(&SKIPPABLE.to_le_bytes())?;
            file.write_all(&len.to_le_bytes())?;
            file.write_all(&sketch)?;
        }
    }
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    let out = BufWriter::with_capacity(1 << 16, encoder);
    let mut out = Counted { out, text_bytes: 0 };
    let mut lines = 1;
    let of_tree = manifest.entries.iter().map(Line::Entry);
    let of_roots = manifest.sources.iter().map(Line::Source);
    let of_builds = manifest.kept.iter().map(Line::Kept);
    let of_units = manifest.units.iter().map(Line::Unit);
    for line in of_tree.chain(of_roots).chain(of_builds).chain(of_units) {
        let before = out.text_bytes;
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
        if out.text_bytes - before > MAX_LINE {
            return Err(too_much("a line of it"));
        }
        lines += 1;
    }
    let graph = &manifest.graph;
    let mut last = serde_json::to_vec(&Line::End { lines, graph })?;
    if check_weight(&last, MAX_WEIGHT).is_err() {
        // Readers would refuse this graph. Without it, only the forecast is lost.
        last = serde_json::to_vec(&Line::End { lines, graph: &UnitGraph::default() })?;
    }
    out.write_all(&last)?;
    out.write_all(b"\n")?;
    let text_bytes = out.text_bytes;
    out.out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    if lines + 1 > MAX_LINES {
        return Err(too_much("its list of paths"));
    }
    pad(file, header.len() as u64 + text_bytes, weight(&header))
}

/// Pads a manifest until readers accept a text and header of this length: a manifest of many paths
/// and hardly a file compresses better than the limits expect.
fn pad(mut file: &File, text_bytes: u64, header_weight: u64) -> io::Result<()> {
    let stored_bytes = file.metadata()?.len();
    let is_long = text_bytes < text_limit(stored_bytes);
    if is_long && header_weight <= header_weight_limit(stored_bytes) {
        return Ok(());
    }
    let missing = u32::try_from(text_bytes.max(header_weight) / 16).map_err(io::Error::other)?;
    file.write_all(&SKIPPABLE.to_le_bytes())?;
    file.write_all(&missing.to_le_bytes())?;
    io::copy(&mut io::repeat(0).take(missing.into()), &mut file)?;
    Ok(())
}

/// Returns the error for a manifest that no reader would accept.
fn too_much(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{what} is longer than a manifest can hold"),
    )
}

/// A writer that counts its bytes.
struct Counted<W> {
    out: W,
    text_bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.out.write(bytes)?;
        self.text_bytes += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Compresses `bytes` to one zstd frame.
fn frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Reads only the sketch; `None` if there is none, as in a manifest of an older version.
pub(super) fn read_sketch(path: &Path) -> Result<Option<Sketch>> {
    let mut file = BufReader::with_capacity(1 << 16, file::open(path)?);
    sketch_in(&mut file).map_err(|error| damaged(path, &error))
}

fn sketch_in(file: &mut impl BufRead) -> io::Result<Option<Sketch>> {
    let mut header = decoder(&mut *file)?.single_frame().take(MAX_HEADER);
    io::copy(&mut header, &mut io::sink())?;
    if header.limit() == 0 {
        // The header is too long: this is an older manifest, all in one frame.
        return Ok(None);
    }
    // An older version wrote all of a manifest into one frame.
    if file.fill_buf()?.is_empty() || number_in(file)? != SKIPPABLE {
        return Ok(None);
    }
    let len = number_in(file)?.min(MAX_SKETCH_LEN);
    let sketch = file.take(len.into());
    let mut text = decoder(sketch)?.single_frame().take(MAX_SKETCH_LEN.into());
    let mut bytes = Vec::new();
    text.read_to_end(&mut bytes)?;
    check_weight(&bytes, MAX_WEIGHT)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn number_in(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
}

/// Reads only the header and charges it to `budget`. The rest of the manifest may be damaged.
pub(super) fn read_header(path: &Path, budget: &mut HeaderBudget) -> Result<Header> {
    let mut line = Vec::new();
    let (mut lines, stored_bytes) = open(path)?;
    lines.next(&mut line, MAX_HEADER).map_err(|error| damaged(path, &error))?;
    let header = parse_first(&line, stored_bytes, path)?;
    budget.take(weight(&line), stored_bytes).map_err(|error| damaged(path, &error))?;
    Ok(header)
}

/// Reads and checks a whole manifest.
pub(super) fn read(path: &Path) -> Result<Manifest> {
    let mut manifest = read_flawed(path)?;
    if let Some(flaw) = manifest.flaw() {
        return Err(damaged(path, &flaw));
    }
    manifest.drop_special_modes();
    Ok(manifest)
}

/// Reads a whole manifest as it was written, even if it contradicts itself.
pub(super) fn read_flawed(path: &Path) -> Result<Manifest> {
    let (mut lines, stored_bytes) = open(path)?;
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>, max_len| {
        lines.next(line, max_len).map_err(|error| damaged(path, &error))
    };
    next(&mut line, MAX_HEADER)?;
    let header = parse_first(&line, stored_bytes, path)?;
    let capacity = usize::try_from(header.entries).unwrap_or(0).min(1 << 16);
    let entries = Vec::with_capacity(capacity);
    let mut manifest = Manifest {
        header,
        entries,
        sources: Vec::new(),
        kept: Vec::new(),
        units: Vec::new(),
        graph: UnitGraph::default(),
    };
    let mut count = 1;
    loop {
        if !next(&mut line, MAX_LINE)? {
            return Err(damaged(path, "it ends before its last line"));
        }
        check_weight(&line, MAX_WEIGHT).map_err(|error| damaged(path, &error))?;
        match serde_json::from_slice(&line).map_err(|error| damaged(path, &error))? {
            OwnedLine::Entry(entry) => manifest.entries.push(entry),
            OwnedLine::Source(source) => manifest.sources.push(source),
            OwnedLine::Kept(kept) => manifest.kept.push(kept),
            OwnedLine::Unit(unit) => manifest.units.push(unit),
            OwnedLine::End { lines, graph } if lines == count => {
                manifest.graph = graph;
                break;
            }
            OwnedLine::End { lines, .. } => {
                return Err(damaged(path, &format!("it has {count} lines instead of {lines}")));
            }
        }
        count += 1;
    }
    // Read to the end of the frame: only there does zstd compare the checksum.
    if next(&mut line, MAX_LINE)? {
        return Err(damaged(path, "something follows its last line"));
    }
    Ok(manifest)
}

/// Opens a manifest; returns its lines and its size on disk in bytes, without holes.
fn open(path: &Path) -> Result<(Lines<impl BufRead + use<>>, u64)> {
    let file = file::open(path)?;
    let stored_bytes = file::stored_bytes(&file).at("read", path)?;
    let decoder = decoder(BufReader::with_capacity(1 << 16, file)).at("read", path)?;
    let lines = BufReader::with_capacity(1 << 16, decoder);
    Ok((Lines::new(lines, text_limit(stored_bytes)), stored_bytes))
}

/// Returns a decoder that refuses frames with a larger window than ours.
fn decoder<'a, R: BufRead>(file: R) -> io::Result<zstd::Decoder<'a, R>> {
    let mut decoder = zstd::Decoder::with_buffer(file)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn parse_first(line: &[u8], stored_bytes: u64, path: &Path) -> Result<Header> {
    let broken = |error: serde_json::Error| damaged(path, &error);
    // Skip the header here: a newer program may have changed it.
    let first: First<IgnoredAny> = serde_json::from_slice(line).map_err(broken)?;
    if first.manifest > FORMAT {
        let found = first.manifest.to_string();
        return Err(Error::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    check_weight(line, header_weight_limit(stored_bytes)).map_err(|error| damaged(path, &error))?;
    let first: First<Header> = serde_json::from_slice(line).map_err(broken)?;
    Ok(first.header)
}
