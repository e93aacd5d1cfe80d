/// From a commit to the first instruction of its job on an idle runner.
extension Family {
    static let startLatency = Family(name: "start-latency") { setup in
        let wakes = try Yardsticks.wakeLatency(count: setup.count(2_000, quick: 200))
        return [Row(name: "bare futex wake, p50", figure: wakes.percentile(50))]
    }
}
