//! The format, byte by byte: this is what other programs read and write.

use bytes::Bytes;
use quorate_batch::{BatchBuilder, BatchHeader, Producer, Record, RecordHeader, records, stamp};

#[rustfmt::skip]
const GOLDEN: [u8; 82] = [
    0, 0, 0, 0, 0, 0, 0, 0,             // base offset, not set by a producer
    0, 0, 0, 70,                        // 82 bytes less the 12 up to here
    0xff, 0xff, 0xff, 0xff,             // leader epoch, none
    2,                                  // magic
    CRC[0], CRC[1], CRC[2], CRC[3],
    0, 0,                               // attributes
    0, 0, 0, 1,                         // last offset delta
    0, 0, 0, 0, 0, 0, 0x03, 0xe8,       // base timestamp 1000
    0, 0, 0, 0, 0, 0, 0x03, 0xed,       // max timestamp 1005
    0, 0, 0, 0, 0, 0, 0, 7,             // producer id
    0, 3,                               // producer epoch
    0, 0, 0, 9,                         // base sequence
    0, 0, 0, 2,                         // number of records
    // The first record: 13 bytes (zigzag 26), attributes, timestamp + 0, offset + 0,
    26, 0, 0, 0,
    2, b'k', 4, b'v', b'1',             // key, value
    2, 2, b'h', 2, b'x',                // one header: key, value
    // The second record: 6 bytes, attributes, timestamp + 5, offset + 1,
    12, 0, 10, 2,
    1, 0, 0,                            // null key, empty value, no headers
];
/// CRC-32C of bytes 21 to 82, from an independent bit-by-bit computation.
const CRC: [u8; 4] = 0xe58d_4769u32.to_be_bytes();

fn build() -> Bytes {
    let mut builder = BatchBuilder::new(1 << 20);
    let headers: [(&str, Option<&[u8]>); 1] = [("h", Some(b"x"))];
    builder
        .push(1000, Some(b"k"), Some(b"v1"), &headers)
        .expect("the record fits");
    builder
        .push(1005, None, Some(b""), &[])
        .expect("the record fits");
    assert_eq!(builder.bytes(), GOLDEN.len());
    builder.finish(Some(Producer {
        id: 7,
        epoch: 3,
        base_sequence: 9,
    }))
}

#[test]
fn encoder_writes_the_golden_bytes() {
    assert_eq!(build()[..], GOLDEN);
}

#[test]
fn decoder_reads_the_golden_bytes() {
    let header = BatchHeader::validate_produced(&GOLDEN, GOLDEN.len()).unwrap();
    assert_eq!(header.batch_bytes, 82);
    assert_eq!(header.leader_epoch, 0);
    assert_eq!(
        header.producer,
        Some(Producer {
            id: 7,
            epoch: 3,
            base_sequence: 9
        })
    );
    assert_eq!((header.base_timestamp, header.max_timestamp), (1000, 1005));
    assert_eq!((header.records_count, header.next_offset()), (2, 2));
    let all: Result<Vec<_>, _> = records(&Bytes::from_static(&GOLDEN)).unwrap().collect();
    let first = Record {
        offset: 0,
        timestamp: 1000,
        key: Some(Bytes::from_static(b"k")),
        value: Some(Bytes::from_static(b"v1")),
        headers: vec![RecordHeader {
            key: Bytes::from_static(b"h"),
            value: Some(Bytes::from_static(b"x")),
        }],
    };
    let second = Record {
        offset: 1,
        timestamp: 1005,
        key: None,
        value: Some(Bytes::new()),
        headers: Vec::new(),
    };
    assert_eq!(all.unwrap(), [first, second]);
}

#[test]
fn stamp_changes_base_offset_and_epoch_and_nothing_else() {
    let mut batch = GOLDEN;
    stamp(&mut batch, 0x0102_0304_0506, 0x0a0b);
    assert_eq!(batch[0..8], [0, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(batch[12..16], [0, 0, 0x0a, 0x0b]);
    assert_eq!(batch[8..12], GOLDEN[8..12]);
    assert_eq!(batch[16..], GOLDEN[16..]);
    let header = BatchHeader::validate(&batch).unwrap();
    assert_eq!(
        (header.base_offset, header.leader_epoch),
        (0x0102_0304_0506, 0x0a0b)
    );
    let offsets: Vec<u64> = records(&Bytes::copy_from_slice(&batch))
        .unwrap()
        .map(|it| it.unwrap().offset)
        .collect();
    assert_eq!(offsets, [0x0102_0304_0506, 0x0102_0304_0507]);
}
