//! A manifest as bytes: lines of JSON in zstd frames, with the sketch in a skippable frame between.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::error::{Error, Result, damaged};
use crate::fs::At;
use crate::model::manifest::{Entry, Header, KeptFile, Manifest, Source, Unit};
use crate::model::sketch::Sketch;
use crate::model::unit_graph::UnitGraph;

/// The level manifests are compressed at. They are small and read often; 3 is zstd's default.
const LEVEL: i32 = 3;

/// The first of the 16 magic numbers of skippable frames, which any program that reads zstd passes over
/// (RFC 8878, section 3.1.2).
const SKIPPABLE: u32 = 0x184D_2A50;

/// The longest sketch that is read, in bytes as compressed and as text. That of 525 units has 23 kB compressed.
const MAX_SKETCH_LEN: u32 = 64 << 20;

/// The first line: what every version of this program can read.
#[derive(Serialize, Deserialize)]
struct First<H> {
    manifest: u32,
    header: H,
}

/// Every further line.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum Line<'a> {
    Entry(&'a Entry),
    Source(&'a Source),
    Kept(&'a KeptFile),
    Unit(&'a Unit),
    End { lines: u64, graph: &'a UnitGraph },
}

/// The same, owned.
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
    file.write_all(&frame(&header)?)?;
    if let Some(sketch) = Sketch::of(manifest) {
        let text = serde_json::to_vec(&sketch)?;
        let sketch = frame(&text)?;
        // Leave out a sketch that readers would refuse; only choosing uses it.
        let longest = u32::try_from(text.len().max(sketch.len())).unwrap_or(u32::MAX);
        if longest <= MAX_SKETCH_LEN
            && let Ok(len) = u32::try_from(sketch.len())
        {
            file.write_all(&SKIPPABLE.to_le_bytes())?;
            file.write_all(&len.to_le_bytes())?;
            file.write_all(&sketch)?;
        }
    }
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut out = BufWriter::with_capacity(1 << 16, encoder);
    let mut lines = 1;
    let of_tree = manifest.entries.iter().map(Line::Entry);
    let of_roots = manifest.sources.iter().map(Line::Source);
    let of_builds = manifest.kept.iter().map(Line::Kept);
    let of_units = manifest.units.iter().map(Line::Unit);
    for line in of_tree.chain(of_roots).chain(of_builds).chain(of_units) {
        serde_json::to_writer(&mut out, &line)?;
        out.write_all(b"\n")?;
        lines += 1;
    }
    serde_json::to_writer(&mut out, &Line::End { lines, graph: &manifest.graph })?;
    out.write_all(b"\n")?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Returns `bytes` as one frame.
fn frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Reads the sketch alone; `None` where there is none, as in what an older version wrote.
pub(super) fn read_sketch(path: &Path) -> Result<Option<Sketch>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).at("open", path)?);
    sketch_in(&mut file).map_err(|error| damaged(path, &error))
}

fn sketch_in(file: &mut impl BufRead) -> io::Result<Option<Sketch>> {
    let mut header = zstd::Decoder::with_buffer(&mut *file)?.single_frame();
    io::copy(&mut header, &mut io::sink())?;
    // An older version wrote all of a manifest into one frame.
    if file.fill_buf()?.is_empty() || number_in(file)? != SKIPPABLE {
        return Ok(None);
    }
    let len = number_in(file)?.min(MAX_SKETCH_LEN);
    let sketch = file.take(len.into());
    let mut text = zstd::Decoder::with_buffer(sketch)?.single_frame().take(MAX_SKETCH_LEN.into());
    let mut bytes = Vec::new();
    text.read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn number_in(file: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    file.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
}

/// Reads the header alone, which does not show whether the rest is whole.
pub(super) fn read_header(path: &Path) -> Result<Header> {
    let mut lines = open(path)?;
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).map_err(|error| damaged(path, &error))?;
    parse_first(&line, path)
}

/// Reads a whole manifest and checks that it is one.
pub(super) fn read(path: &Path) -> Result<Manifest> {
    let manifest = read_flawed(path)?;
    match manifest.flaw() {
        Some(flaw) => Err(damaged(path, &flaw)),
        None => Ok(manifest),
    }
}

/// Reads a whole manifest as it was written, also one that contradicts itself.
pub(super) fn read_flawed(path: &Path) -> Result<Manifest> {
    let mut reader = open(path)?;
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        reader.read_until(b'\n', line).map_err(|error| damaged(path, &error))
    };
    next(&mut line)?;
    let header = parse_first(&line, path)?;
    let capacity = usize::try_from(header.entries).unwrap_or(0).min(1 << 20);
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
        if next(&mut line)? == 0 {
            return Err(damaged(path, "it ends before its last line"));
        }
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
    // To the end of the frame: only there does zstd compare the checksum.
    if next(&mut line)? != 0 {
        return Err(damaged(path, "something follows its last line"));
    }
    Ok(manifest)
}

fn open(path: &Path) -> Result<impl BufRead + use<>> {
    let file = File::open(path).at("open", path)?;
    let decoder = zstd::Decoder::new(file).at("read", path)?;
    Ok(BufReader::with_capacity(1 << 16, decoder))
}

fn parse_first(line: &[u8], path: &Path) -> Result<Header> {
    let first: First<serde_json::Value> =
        serde_json::from_slice(line).map_err(|error| damaged(path, &error))?;
    if first.manifest > FORMAT {
        let found = first.manifest.to_string();
        return Err(Error::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    serde_json::from_value(first.header).map_err(|error| damaged(path, &error))
}
