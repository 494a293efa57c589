//! Values of any length in sled, in pieces. What makes a node of its tree longer than an eighth of a mebibyte goes to a file
//! of its own there, and where writing that fails, sled 0.34.7 waits for it for ever when it is flushed.

use sled::Tree;

/// Seventeen of them make a node before it is split.
const PIECE_BYTES: usize = 4 << 10;
const NUMBER_BYTES: usize = 4;

/// Inserts a value.
pub(crate) fn insert(tree: &Tree, key: &[u8], value: &[u8]) -> sled::Result<()> {
    let empty = value.is_empty().then_some(value);
    for (number, piece) in (0_u32..).zip(value.chunks(PIECE_BYTES).chain(empty)) {
        tree.insert([key, &number.to_be_bytes()].concat(), piece)?;
    }
    Ok(())
}

/// The keys that begin so, in order, with their values.
pub(crate) fn scan(tree: &Tree, prefix: &[u8]) -> sled::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for piece in tree.scan_prefix(prefix) {
        let (key, piece) = piece?;
        let key = &key[..key.len().saturating_sub(NUMBER_BYTES)];
        match found.last_mut() {
            Some((last, value)) if last == key => value.extend_from_slice(&piece),
            _ => found.push((key.to_vec(), piece.to_vec())),
        }
    }
    Ok(found)
}

/// The value of the last key up to that number, of keys that are numbers.
pub(crate) fn last_up_to(tree: &Tree, number: u64) -> sled::Result<Option<Vec<u8>>> {
    let Some((key, _)) = tree.get_lt((number + 1).to_be_bytes())? else { return Ok(None) };
    let found = scan(tree, &key[..key.len().saturating_sub(NUMBER_BYTES)])?;
    Ok(found.into_iter().next().map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_whole_and_in_order() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let of = |number: u64| {
            vec![number as u8; [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 5][number as usize % 5]]
        };
        for number in (0..200_u64).rev().filter(|number| number % 3 != 1) {
            insert(&db, &number.to_be_bytes(), &of(number)).unwrap();
        }
        let found = scan(&db, &[]).unwrap();
        let expected = (0..200_u64).filter(|number| number % 3 != 1);
        assert_eq!(found, expected.map(|number| (number.to_be_bytes().to_vec(), of(number))).collect::<Vec<_>>());
        for number in 0..200_u64 {
            let first = if number % 3 == 1 { number - 1 } else { number };
            assert_eq!(last_up_to(&db, number).unwrap(), Some(of(first)), "{number}");
        }
        assert_eq!(scan(&db, &7_u64.to_be_bytes()).unwrap(), []);
    }
}
