//! The two messages of `grpc.health.v1`, by hand.
//!
//! `HealthCheckRequest { string service = 1 }` and `HealthCheckResponse { ServingStatus status = 1 }`
//! (`grpc/health/v1/health.proto`): two fields do not warrant a protobuf library and its macros.

use bytes::{BufMut, Bytes, BytesMut};

use super::ProbeError;

/// The most bytes of an answer; one with a status has two.
pub(super) const LIMIT: usize = 4096;

/// The header of a message: whether it is compressed, and its length.
const HEADER: usize = 5;

/// The request, as a gRPC message.
pub(super) fn request(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        // Field 1, length-delimited.
        field.put_u8(0x0a);
        put_varint(&mut field, service.len());
        field.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::with_capacity(HEADER + field.len());
    message.put_u8(0);
    message.put_u32(u32::try_from(field.len()).unwrap_or(u32::MAX));
    message.put_slice(&field);
    message.freeze()
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// The status in a gRPC message that was received whole.
pub(super) fn status(bytes: &[u8]) -> Result<u64, ProbeError> {
    let bad = ProbeError::Not("a gRPC health message");
    let Some((&[compressed, a, b, c, d], message)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(bad);
    };
    // No compression was offered.
    if compressed != 0 || u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return Err(bad);
    }
    field_1(message).ok_or(bad)
}

/// The last value of field 1, a varint; 0 if there is none. Other fields are passed over.
fn field_1(mut rest: &[u8]) -> Option<u64> {
    let mut value = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let skip = match key & 7 {
            0 => {
                let number = varint(&mut rest)?;
                if key >> 3 == 1 {
                    value = number;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        rest = rest.get(skip..)?;
    }
    Some(value)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The name of a `ServingStatus`.
pub(super) fn serving_name(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a status that is not defined",
    }
}

/// The name of a gRPC status code (gRPC, "Status codes and their use").
pub(super) fn code_name(code: u16) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    NAMES.get(usize::from(code)).copied().unwrap_or("a code that is not defined")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_encoded_as_protobuf_says() {
        assert_eq!(request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(request("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        // 300 is the example of the encoding guide: ac 02.
        assert_eq!(request(&"a".repeat(300))[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn a_status_is_decoded_and_unknown_fields_are_passed_over() {
        let message = |body: &[u8]| {
            let mut bytes = vec![0, 0, 0, 0, body.len() as u8];
            bytes.extend_from_slice(body);
            bytes
        };
        for (body, wanted) in [
            (&[][..], 0),
            (&[8, 1], 1),
            (&[8, 2], 2),
            (&[8, 2, 8, 1], 1),
            (&[0x12, 1, 9, 8, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x28, 9], 1),
        ] {
            assert_eq!(status(&message(body)), Ok(wanted), "{body:?}");
        }
        for body in [&[8][..], &[8, 0x80], &[0x12, 5, 1], &[0x0b], &[0x19, 1], &[0x80; 12]] {
            assert!(status(&message(body)).is_err(), "{body:?}");
        }
        for bytes in [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 3, 8, 1]] {
            assert!(status(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = status(&bytes);
            let _ = field_1(&bytes);
        }
    }
}
