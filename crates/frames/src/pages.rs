//! What the headers of pages say, in Parquet files of someone else: it is reserved before anything is decoded, and the
//! program would end where that can't be had.

use polars::prelude::*;
use polars_parquet::parquet::metadata::ColumnChunkMetadata;
use polars_parquet::read::FileMetadata;
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;
use polars_parquet_format::{PageHeader, PageType};
use std::fs::File;
use std::io::Cursor;
use std::os::unix::fs::FileExt;

/// What is read at once of where a header begins: most of them are shorter.
const HEADER_BYTES: usize = 512;
/// The longest header that is believed; long texts can stand in its statistics.
const HEADER_BYTES_MAX: usize = 16 << 20;

/// The bytes of a row group's columns, each with its name, as their pages take them in memory: what the footer says of
/// that nobody checks.
pub(crate) type Sizes = Vec<(String, u64)>;

/// The sizes of each row group. Refuses pages that claim to hold more values than their column has, or none at all, and
/// columns that end too soon.
pub(crate) fn sizes(file: &File, metadata: &FileMetadata) -> PolarsResult<Vec<Sizes>> {
    let size = |chunk: &ColumnChunkMetadata| {
        let root = chunk.descriptor().path_in_schema.first().map_or_else(String::new, ToString::to_string);
        Ok((root, pages_of(file, chunk)?))
    };
    metadata.row_groups.iter().map(|group| group.parquet_columns().iter().map(size).collect()).collect()
}

/// The bytes of a column's pages.
fn pages_of(file: &File, chunk: &ColumnChunkMetadata) -> PolarsResult<u64> {
    let range = chunk.byte_range();
    let (mut at, mut left, mut bytes) = (range.start, chunk.num_values(), 0_u64);
    while left > 0 && at < range.end {
        let (header, length) = header_at(file, at, range.end)?;
        let values = values_of(&header).filter(|values| (0..=left).contains(values));
        let sizes =
            u64::try_from(header.compressed_page_size).ok().zip(u64::try_from(header.uncompressed_page_size).ok());
        let (Some(values), Some((stored, unpacked))) = (values, sizes) else {
            let name = chunk.descriptor().path_in_schema.join(".");
            polars_bail!(ComputeError: "a page of its column {name} (at byte {at}) claims what can't be");
        };
        left -= values;
        at += length + stored;
        bytes = bytes.saturating_add(unpacked);
    }
    Ok(bytes)
}

/// How many values of its column a page says to hold.
fn values_of(header: &PageHeader) -> Option<i64> {
    let first = header.data_page_header.as_ref().map(|page| page.num_values);
    let second = header.data_page_header_v2.as_ref().map(|page| page.num_values);
    match header.type_ {
        PageType::DATA_PAGE => first.map(i64::from),
        PageType::DATA_PAGE_V2 => second.map(i64::from),
        PageType::DICTIONARY_PAGE => {
            // A value of a dictionary takes a byte at least.
            let values = header.dictionary_page_header.as_ref()?.num_values;
            (0..=header.uncompressed_page_size).contains(&values).then_some(0)
        }
        _ => Some(0),
    }
}

/// The header that begins there, and its length.
fn header_at(file: &File, at: u64, end: u64) -> PolarsResult<(PageHeader, u64)> {
    let mut bytes = HEADER_BYTES;
    loop {
        let most = bytes.min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let mut buffer = vec![0; most];
        file.read_exact_at(&mut buffer, at)?;
        let mut cursor = Cursor::new(&buffer);
        let mut from = TCompactInputProtocol::new(&mut cursor, most);
        match PageHeader::read_from_in_protocol(&mut from) {
            Ok(header) => return Ok((header, cursor.position())),
            Err(_) if most == bytes && bytes < HEADER_BYTES_MAX => bytes *= 8,
            Err(error) => polars_bail!(ComputeError: "a page's header (at byte {at}): {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::foreign::Foreign;
    use crate::parquet::TableWriter;
    use polars::prelude::*;
    use std::path::Path;

    fn write(path: &Path, frame: &DataFrame) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = TableWriter::new(&mut bytes, frame.schema()).expect("a writer");
        writer.write(frame).expect("written");
        writer.finish().expect("finished");
        std::fs::write(path, &bytes).expect("a file");
        bytes
    }

    #[test]
    fn a_page_that_claims_less_than_nothing_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.parquet");
        let bytes = write(&path, &df!("n" => [7_i64]).expect("a frame"));
        assert!(Foreign::open(&path).and_then(|file| file.read()).is_ok());
        // One value is written as the byte 2, and one less than none as 1.
        let claims = [0x2c, 0x15, 0x02];
        let at = bytes.windows(claims.len()).position(|window| window == claims).expect("the header of a page");
        let mut hurt = bytes;
        hurt[at + 2] = 0x01;
        std::fs::write(&path, hurt).expect("a file");
        let error = Foreign::open(&path).err().expect("refused").to_string();
        assert!(error.contains("a page of its column n (at byte") && error.contains("claims what can't be"), "{error}");
    }

    #[test]
    fn long_texts_in_a_header_are_read_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.parquet");
        let long = "x".repeat(200_000);
        write(&path, &df!("t" => [long.as_str(), "y"]).expect("a frame"));
        let read = Foreign::open(&path).and_then(|file| file.read()).expect("readable");
        assert_eq!(read.height(), 2);
    }
}
