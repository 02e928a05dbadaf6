//! Parquet's mix of runs and packed bits, which its levels and dictionary indices are in (Parquet format, "Encodings":
//! RLE = 3).

/// Reads `count` numbers of `width` bits each and appends them; none where the bytes end before, or are not of this form.
pub(crate) fn decode(mut input: &[u8], width: u8, count: usize, out: &mut Vec<u32>) -> Option<()> {
    if width > 32 {
        return None;
    }
    let mut left = count;
    while left > 0 {
        let header = varint(&mut input)?;
        let length = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let bytes = input.split_off(..usize::from(width).div_ceil(8))?;
            let value = bytes.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
            let run = length.min(left);
            out.extend(std::iter::repeat_n(value, run));
            left -= run;
        } else {
            let values = length.checked_mul(8)?;
            let run = values.min(left);
            // The last group may be cut to the bytes that it needs.
            let needed = run.checked_mul(usize::from(width))?.div_ceil(8);
            let whole = length.checked_mul(usize::from(width))?.min(input.len());
            if needed > whole {
                return None;
            }
            unpack(input.split_off(..whole)?, width, run, out);
            left -= run;
        }
    }
    Some(())
}

/// The numbers lie bit after bit, the lowest first.
fn unpack(bytes: &[u8], width: u8, count: usize, out: &mut Vec<u32>) {
    let width = usize::from(width);
    let mask = (1_u64 << width) - 1;
    out.extend((0..count).map(|index| {
        let bit = index * width;
        let rest = bytes.get(bit / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        // At most 32 bits: the mask says so.
        (word >> (bit % 8) & mask) as u32
    }));
}

/// A number in base 128, the lowest digit first.
fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *input.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(input: &[u8], width: u8, count: usize) -> Option<Vec<u32>> {
        let mut out = Vec::new();
        decode(input, width, count, &mut out).map(|()| out)
    }

    #[test]
    fn the_documented_example_reads() {
        // 0 to 7 in three bits each, as the format's documentation packs them; then a run of four fives.
        let bytes = [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010, 8, 5];
        assert_eq!(decoded(&bytes, 3, 12).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7, 5, 5, 5, 5]);
        assert_eq!(decoded(&bytes, 3, 3).unwrap(), [0, 1, 2]);
        assert_eq!(decoded(&bytes, 3, 13), None);
        assert_eq!(decoded(&bytes, 33, 1), None);
        assert_eq!(decoded(&[4], 0, 2).unwrap(), [0, 0]);
        assert_eq!(decoded(&[2, 0xff, 0xff, 0xff, 0xff], 32, 1).unwrap(), [u32::MAX]);
        assert_eq!(decoded(&[0xff; 12], 8, 1), None);
    }

    proptest! {
        #[test]
        fn packed_numbers_read_back(width in 1_u8..=32, numbers in prop::collection::vec(any::<u32>(), 1..100)) {
            let mask = u32::MAX >> (32 - width);
            let mut bytes = vec![0_u8; (numbers.len().div_ceil(8) * usize::from(width)).next_multiple_of(8)];
            for (index, number) in numbers.iter().enumerate() {
                for bit in 0..usize::from(width) {
                    let at = index * usize::from(width) + bit;
                    bytes[at / 8] |= u8::try_from(number >> bit & 1).unwrap() << (at % 8);
                }
            }
            let header = u8::try_from(numbers.len().div_ceil(8) << 1 | 1).unwrap();
            bytes.insert(0, header);
            let expected: Vec<_> = numbers.iter().map(|number| number & mask).collect();
            prop_assert_eq!(decoded(&bytes, width, numbers.len()), Some(expected));
        }

        #[test]
        fn any_bytes_are_numbers_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..64), width: u8, count in 0_usize..1000) {
            let _ = decoded(&bytes, width, count);
        }
    }
}
