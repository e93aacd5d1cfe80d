/// From the first enqueue to the last durable outcome, and bulk enqueue by itself.
extension Family {
    static let endToEnd = Family(name: "end-to-end") { setup in
        let jobs = setup.count(10_000_000, quick: 500_000)
        let records = try Yardsticks.recordLoop(setup, jobs: jobs, payload: 100, result: 16)
        let bytes = try Yardsticks.byteLoop(setup, jobs: jobs, bytesPerJob: 116)
        return [
            Row(name: "record loop in C, 100 + 16 bytes a job", figure: records.jobsPerSecond),
            Row(name: "record loop in C, CPU a job", figure: records.cpuPerJob),
            Row(name: "byte loop in C, 116 bytes a job", figure: bytes.jobsPerSecond),
        ]
    }
}
