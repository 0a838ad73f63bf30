//! A checksum within a safetensors file: one changed byte anywhere, or a missing one, shows.

use sha2::{Digest, Sha256};

/// How the header of a file with metadata begins, behind the eight bytes of its length.
const BEGIN: &[u8] = br#"{"__metadata__":{"#;
/// First among the metadata, padded so that the tensors stay aligned to eight bytes.
const KEY: &[u8] = br#""sha256":    ""#;
const END: &[u8] = br#"","#;

const START: usize = 8 + BEGIN.len();
const DIGEST: std::ops::Range<usize> = START + KEY.len()..START + KEY.len() + 64;
/// What the file's bytes hold in the digest's place while they are hashed.
const BLANK: [u8; 64] = [b'0'; 64];

/// Puts the SHA-256 of all other bytes into the metadata of a safetensors file.
///
/// # Errors
/// The file has no metadata.
pub fn seal(file: &[u8]) -> Result<Vec<u8>, String> {
    let (Some(length), true) =
        (file.first_chunk(), file.get(8..).is_some_and(|header| header.starts_with(BEGIN)))
    else {
        return Err("a safetensors file without metadata has no place for a checksum".to_string());
    };
    let inserted = [KEY, &BLANK, END].concat();
    let length = u64::from_le_bytes(*length) + inserted.len() as u64;
    let mut sealed = [&length.to_le_bytes(), &file[8..START], &inserted, &file[START..]].concat();
    let digest = digest(&sealed);
    sealed[DIGEST].copy_from_slice(digest.as_bytes());
    Ok(sealed)
}

/// Whether it begins as the models of versions before there were checksums: one changed byte does not make a
/// file with a checksum look like that.
pub fn is_of_before(file: &[u8]) -> bool {
    let architecture = [BEGIN, br#""architecture":""#].concat();
    file.get(8..).is_some_and(|rest| rest.starts_with(&architecture))
}

/// # Errors
/// The bytes are not as they were written.
pub fn check(file: &[u8]) -> Result<(), &'static str> {
    let holds = |at: usize, text: &[u8]| file.get(at..).is_some_and(|rest| rest.starts_with(text));
    if !(holds(8, BEGIN) && holds(START, KEY) && holds(DIGEST.end, END)) {
        return Err("damaged, or not written by elbo: it has no checksum");
    }
    match digest(file).as_bytes() == &file[DIGEST] {
        true => Ok(()),
        false => Err("damaged or cut short: its bytes do not have its checksum"),
    }
}

fn digest(file: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [&file[..DIGEST.start], &BLANK, &file[DIGEST.end..]] {
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};
    use safetensors::{SafeTensors, serialize};

    use super::*;

    fn file() -> Vec<u8> {
        let data = [1, 2, 3, 4, 5, 6, 7, 8];
        let view = TensorView::new(Dtype::U8, vec![8], &data).unwrap();
        let about = HashMap::from([("about".to_string(), "a test".to_string())]);
        serialize([("t", view)], Some(about)).unwrap()
    }

    #[test]
    fn a_sealed_file_is_read_as_before() {
        let sealed = seal(&file()).unwrap();
        assert_eq!(check(&sealed), Ok(()));
        let (read, before) = (SafeTensors::deserialize(&sealed).unwrap(), file());
        let before = SafeTensors::deserialize(&before).unwrap();
        assert_eq!(read.tensor("t").unwrap(), before.tensor("t").unwrap());
        let (length, metadata) = SafeTensors::read_metadata(&sealed).unwrap();
        let metadata = metadata.metadata().clone().unwrap();
        assert_eq!((length % 8, &metadata["about"][..], metadata.len()), (0, "a test", 2));
    }

    #[test]
    fn every_changed_bit_and_every_cut_shows() {
        let sealed = seal(&file()).unwrap();
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(check(&changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(check(&sealed[..at]).is_err(), "cut at {at}");
        }
        assert!(check(&[&sealed[..], b"x"].concat()).is_err());
        assert!(check(&file()).is_err(), "without a checksum");
        assert!(seal(b"").is_err() && seal(&sealed[8..]).is_err());
    }
}
