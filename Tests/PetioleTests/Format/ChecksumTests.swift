import CPetiole
import Testing

@Suite("Checksum") struct ChecksumTests {
    @Test("the check value of CRC-32C, and of 32 bytes of zeros")
    func known() {
        // RFC 3720, appendix B.4, gives the second.
        #expect(petiole_crc32c(0, "123456789", 9) == 0xE306_9283)
        #expect(petiole_crc32c(0, [UInt8](repeating: 0, count: 32), 32) == 0x8A91_36AA)
    }

    @Test("the instruction and the table agree on every length, from every alignment")
    func agreement() {
        var random = SystemRandomNumberGenerator()
        let bytes = (0..<20_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        bytes.withUnsafeBytes { bytes in
            // Around one and more rounds of the three streams.
            for length in Array(0...1_700) + [4_095, 4_096, 7_680, 19_900] {
                let base = bytes.baseAddress! + length % 11
                #expect(
                    petiole_crc32c(7, base, length) == petiole_crc32c_by_table(7, base, length),
                    "\(length) bytes")
            }
        }
    }
}
