import CPetiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// A number that changes when the machine is started anew.
enum BootMark {
    static func current() -> UInt64 {
        var text = [CChar](repeating: 0, count: 64)
        guard readSession(&text) else { return 1 }
        return text.withUnsafeBytes { bytes in
            let low = petiole_crc32c(0, bytes.baseAddress, 64)
            let high = petiole_crc32c(1, bytes.baseAddress, 64)
            return UInt64(high) << 32 | UInt64(low)
        }
    }

    /// The system's own text for the start; false when it has none.
    private static func readSession(_ text: inout [CChar]) -> Bool {
        #if os(Linux)
            guard let file = fopen("/proc/sys/kernel/random/boot_id", "re") else { return false }
            defer { fclose(file) }
            return fgets(&text, 64, file) != nil
        #else
            // The time of the start would follow a clock that is set.
            var size = 63
            return sysctlbyname("kern.bootsessionuuid", &text, &size, nil, 0) == 0
        #endif
    }
}
