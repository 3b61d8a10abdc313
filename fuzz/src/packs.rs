//! Packs: both ways to read one agree, and each content has the bytes that its digest names.

use runner_cache::fs::room::Room;
use runner_cache::model::digest::Digest;
use runner_cache::model::manifest::Content;
use runner_cache::store::{Error, PackRoom, Store};

use super::world::{World, frame, is_frame};

/// The largest decompressed size of a pack whose frame does not state it: see `PackFile::members`.
const LIKELY: usize = 1 << 20;

/// Reads `bytes` as a pack: unchanged, as a tar if it begins with `T`, or as contents separated by NUL.
pub fn run(bytes: &[u8]) {
    let pack = match bytes {
        _ if is_frame(bytes) => bytes.to_vec(),
        [b'T', tar @ ..] => frame(tar),
        contents => frame(&tar_of(contents)),
    };
    let digest = Digest::of(&pack);
    World::with(|world| {
        let path = world.store.pack_path(digest);
        world.write(&path, &pack);
        let one_by_one = one_by_one(&world.store, digest, digest);
        let at_once = at_once(&world.store, digest, digest);
        if let (Ok(one_by_one), Ok(Some(at_once))) = (&one_by_one, &at_once) {
            assert_eq!(one_by_one, at_once);
        }
        let other = Digest::of(b"another");
        assert!(self::one_by_one(&world.store, digest, other).is_err(), "it has another name");
        assert!(self::at_once(&world.store, digest, other).is_err(), "it has another name");
        let open = world.store.open_pack(digest).expect("it was written just now");
        assert!(open.is_whole(digest).expect("it can be read"));
        world.remove(path.parent().unwrap_or(&path));
    });
}

type Contents = Vec<(Digest, Vec<u8>)>;

fn one_by_one(store: &Store, at: Digest, digest: Digest) -> Result<Contents, Error> {
    let mut contents = Contents::new();
    let mut room = Room::default();
    store.open_pack(at)?.each::<Error>(digest, |member| {
        assert!(member.len <= Content::MAX_LEN, "{} bytes", member.len);
        let (named, len) = (member.digest, member.len);
        let bytes = member.read_into(&mut room)?;
        assert_eq!(bytes.len() as u64, len);
        contents.push((named, bytes.to_vec()));
        Ok(())
    })?;
    let mut all = contents.iter();
    let compared = store.open_pack(at)?.each::<Error>(digest, |member| {
        let (named, bytes) = all.next().expect("as many as before");
        let is_same = Digest::of(bytes) == *named;
        assert_eq!(member.read_and_compare(&mut room).is_ok(), is_same, "{named}");
        Ok(())
    });
    // The unread rest after a wrong content is skipped.
    compared.map(|()| contents)
}

fn at_once(store: &Store, at: Digest, digest: Digest) -> Result<Option<Contents>, Error> {
    let mut room = PackRoom::default();
    let mut open = store.open_pack(at)?;
    open.read_into(&mut room)?;
    let members = open.members(digest, LIKELY, &mut room)?;
    Ok(members
        .map(|members| members.iter().map(|(named, bytes)| (*named, bytes.to_vec())).collect()))
}

/// Makes a tar of contents, each under its digest, or under another digest if the content begins with `!`.
fn tar_of(contents: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    for content in contents.split(|byte| *byte == 0) {
        let name = Digest::of(content.strip_prefix(b"!").unwrap_or(content)).to_string();
        let mut header = [0; 512];
        header[..64].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}
