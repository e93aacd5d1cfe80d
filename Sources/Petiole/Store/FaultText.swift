import CPetiole

extension JobStore {
    /// For a program of which every bad access is most likely one to a damaged store: lets it end with a text on standard error
    /// and a status instead of a signal. Call it before a runner starts; see ``JobRunner/Options/marksCrashes``.
    package static func explainFaults(_ text: String, status: Int32) {
        petiole_explain_faults(text, status)
    }
}
