use crate::{BatchError, BatchHeader, HEADER_BYTES, varint};

/// One record as it stands in its batch, of which it is a part: nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// The record's offset less that of its batch.
    pub offset_delta: u32,
    /// The record's timestamp less the first one of its batch.
    pub timestamp_delta: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The whole record, its length included.
    pub bytes: &'a [u8],
    pub(crate) headers_count: usize,
    pub(crate) headers: &'a [u8],
}

/// The records of `batch`, which has the header `header` and was validated.
///
/// It costs no memory, whatever the batch holds. Fails if the records are compressed.
pub fn views<'a>(header: &BatchHeader, batch: &'a [u8]) -> Result<Views<'a>, BatchError> {
    Ok(Views {
        batch,
        rules: Rules::of(header)?,
    })
}

/// Iterates over the records of a batch; see [`views`]. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Views<'a> {
    batch: &'a [u8],
    rules: Rules,
}

impl<'a> Iterator for Views<'a> {
    type Item = Result<RecordView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rules.next(self.batch)
    }
}

/// What the next record of a batch has to keep to, so that all that reads records agrees on what
/// one is.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Where the next record begins.
    position: usize,
    /// The place of the next record among those of the batch.
    index: u32,
    records_count: u32,
    /// The smallest offset delta that the next record may have.
    next_delta: u32,
    last_delta: u32,
}

impl Rules {
    pub(crate) fn of(header: &BatchHeader) -> Result<Self, BatchError> {
        if header.codec() != 0 {
            return Err(BatchError::Compressed {
                codec: header.codec(),
            });
        }
        Ok(Self {
            position: HEADER_BYTES,
            index: 0,
            records_count: header.records_count,
            next_delta: 0,
            last_delta: header.last_offset_delta,
        })
    }

    /// The next record of `batch`, which is the same at every call; `None` behind the last one and
    /// after an error.
    pub(crate) fn next<'a>(
        &mut self,
        batch: &'a [u8],
    ) -> Option<Result<RecordView<'a>, BatchError>> {
        if self.index == self.records_count {
            let is_done = self.position == batch.len();
            self.position = batch.len();
            let reason = "bytes follow the last record";
            return (!is_done).then_some(Err(BatchError::Record {
                index: self.index,
                reason,
            }));
        }
        let view = self.take(&batch[self.position..]);
        Some(view.map_err(|reason| {
            let index = self.index;
            self.index = self.records_count;
            self.position = batch.len();
            BatchError::Record { index, reason }
        }))
    }

    fn take<'a>(&mut self, rest: &'a [u8]) -> Result<RecordView<'a>, &'static str> {
        let mut body = rest;
        let body_bytes = varint::take_i32(&mut body).ok_or("its length is cut off")?;
        let body_bytes = usize::try_from(body_bytes).map_err(|_| "its length is negative")?;
        let bytes = rest.len() - body.len() + body_bytes;
        let body = body
            .get(..body_bytes)
            .ok_or("it is longer than the batch")?;
        let view = self.take_body(&rest[..bytes], body)?;
        self.position += bytes;
        self.next_delta = view.offset_delta + 1;
        self.index += 1;
        Ok(view)
    }

    fn take_body<'a>(
        &self,
        bytes: &'a [u8],
        body: &'a [u8],
    ) -> Result<RecordView<'a>, &'static str> {
        let (_attributes, mut rest) = body.split_first().ok_or("it is empty")?;
        let rest = &mut rest;
        let timestamp_delta = varint::take(rest).ok_or("its timestamp is cut off")?;
        let delta = varint::take_i32(rest).ok_or("its offset is cut off")?;
        let offset_delta = u32::try_from(delta).map_err(|_| "its offset is negative")?;
        if offset_delta < self.next_delta || offset_delta > self.last_delta {
            return Err("its offset is out of order");
        }
        let key = take_nullable(rest)?;
        let value = take_nullable(rest)?;
        let count = varint::take_i32(rest).ok_or("its number of headers is cut off")?;
        let headers_count =
            usize::try_from(count).map_err(|_| "its number of headers is negative")?;
        let headers = *rest;
        // A header takes two bytes at least, so a count that lies cannot cost much.
        if headers_count > headers.len() / 2 {
            return Err("it has fewer headers than it claims");
        }
        for _ in 0..headers_count {
            take_header(rest)?;
        }
        if !rest.is_empty() {
            return Err("bytes follow its last header");
        }
        Ok(RecordView {
            offset_delta,
            timestamp_delta,
            key,
            value,
            bytes,
            headers_count,
            headers,
        })
    }
}

/// Takes a header off the front of `rest`.
pub(crate) fn take_header<'a>(
    rest: &mut &'a [u8],
) -> Result<(&'a [u8], Option<&'a [u8]>), &'static str> {
    let key = take_nullable(rest)?.ok_or("the key of a header is null")?;
    Ok((key, take_nullable(rest)?))
}

fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    let length = varint::take_i32(rest).ok_or("a length in it is cut off")?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| "a length in it is negative")?;
    let (bytes, behind) = rest.split_at_checked(length).ok_or("it is cut off")?;
    *rest = behind;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BatchBuilder;

    #[test]
    fn records_are_seen_as_they_were_put_in() {
        let mut builder = BatchBuilder::new(1 << 20);
        let header: (&str, Option<&[u8]>) = ("h", None);
        builder.push(7, Some(b"a"), Some(b"1"), &[header]).unwrap();
        builder.push(9, None, Some(b"2"), &[]).unwrap();
        builder.push(8, Some(b""), None, &[]).unwrap();
        let batch = builder.finish(None);
        let header = BatchHeader::validate(&batch).unwrap();
        let seen: Vec<_> = views(&header, &batch)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let told = seen
            .iter()
            .map(|it| (it.offset_delta, it.timestamp_delta, it.key, it.value));
        type Told<'a> = (u32, i64, Option<&'a [u8]>, Option<&'a [u8]>);
        let expected: [Told<'_>; 3] = [
            (0, 0, Some(b"a"), Some(b"1")),
            (1, 2, None, Some(b"2")),
            (2, 1, Some(b""), None),
        ];
        assert!(told.eq(expected));
        // Together they are all that stands behind the header.
        let bytes: Vec<u8> = seen.iter().flat_map(|it| it.bytes).copied().collect();
        assert_eq!(bytes, batch[HEADER_BYTES..]);
    }
}
