//! Which partition a key belongs to: as the Java client decides, so that every client finds the same one.
//! Source: `BuiltInPartitioner.partitionForKey` and `Utils.murmur2` of Apache Kafka's clients.

/// The partition, of `partitions`, that holds everything with this key.
pub fn partition(key: &[u8], partitions: usize) -> usize {
    // `toPositive` drops the sign; it does not negate.
    let positive = murmur2(key) & 0x7fff_ffff;
    positive as usize % partitions
}

/// MurmurHash2, 32 bits, with the seed of the Java client.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(data.len()).unwrap_or_else(|_| unreachable!("a key is short"));
    let (words, rest) = data.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ length, |hash, word| {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        hash.wrapping_mul(M) ^ (k ^ (k >> 24)).wrapping_mul(M)
    });
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: `UtilsTest.testMurmur2` of Apache Kafka's clients.
    const OF_THE_JAVA_CLIENT: [(&str, i32); 6] = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("abc", 479_470_107),
    ];

    #[test]
    fn keys_hash_as_the_java_client_hashes_them() {
        for (key, hash) in OF_THE_JAVA_CLIENT {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_and_nothing_else() {
        assert_eq!(partition(b"21", 3), (0x7fff_ffff & 0xc5f2_f8ec) % 3);
        assert_eq!(partition(b"abc", 3), 479_470_107 % 3);
    }
}
