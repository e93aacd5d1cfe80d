/// What this library reads and writes, for who asks a program what it is.
package enum FormatVersions {
    /// Of the store: it opens those up to this one.
    package static let store = Int(StoreFormat.version)

    /// The numbers under which forms of payloads and results are stored, with their names.
    package static let payloads: [(number: Int, name: String)] = [
        (Int(PayloadCodec.raw.id), "raw"), (Int(PayloadCodec.compact.id), "compact"),
        (Int(PayloadCodec.json.id), "json"), (Int(CommandJob.codec), "command"),
        (Int(SealedBytes.codec), "encrypted"),
    ]
}
