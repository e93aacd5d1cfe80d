import Testing

@testable import Petiole

@Suite("Token bucket") struct TokenBucketTests {
    private static let second: Int64 = 1_000_000_000

    /// Looking fills it, which the macro's copy does not let us do.
    private func expect(
        _ bucket: inout TokenBucket, _ holds: (inout TokenBucket) -> Bool,
        _ location: SourceLocation = #_sourceLocation
    ) {
        let isTrue = holds(&bucket)
        #expect(isTrue, sourceLocation: location)
    }

    @Test("tokens come evenly, and none before its time")
    func even() {
        var bucket = TokenBucket(RateLimit(3, per: .seconds(1)), emptyAt: 0)
        expect(&bucket, { $0.tokens(at: 0) == 0 })
        expect(&bucket, { $0.nextToken(at: 0) == 333_333_334 })
        expect(&bucket, { $0.tokens(at: 333_333_333) == 0 })
        expect(&bucket, { $0.tokens(at: 333_333_334) == 1 })
        expect(&bucket, { $0.tokens(at: Self.second) == 3 })
    }

    @Test("no token is lost or made by looking often", arguments: [1, 7, 999, 1_000_000])
    func exact(step: Int64) {
        var bucket = TokenBucket(RateLimit(7, per: .milliseconds(10), burst: 1_000), emptyAt: 0)
        var taken = 0
        var now: Int64 = 0
        while now < 20 * 1_000_000 {
            now += step * 13
            let tokens = bucket.tokens(at: now)
            bucket.take(tokens, at: now)
            taken += tokens
        }
        #expect(taken == Int(now * 7 / 10_000_000))
    }

    @Test("at most a burst gathers, and a full bucket is as one never used")
    func brim() {
        var bucket = TokenBucket(RateLimit(2, per: .seconds(1), burst: 5), emptyAt: 0)
        expect(&bucket, { !$0.isFull(at: 2 * Self.second) })
        expect(&bucket, { $0.tokens(at: 3_600 * Self.second) == 5 })
        expect(&bucket, { $0.isFull(at: 3_600 * Self.second) })
        bucket.take(5, at: 3_600 * Self.second)
        expect(
            &bucket,
            { $0.nextToken(at: 3_600 * Self.second) == 3_600 * Self.second + Self.second / 2 })
    }

    @Test("the largest rates and times do not overflow")
    func extremes() {
        let most = RateLimit(1_000_000_000, per: .seconds(366 * 86_400), burst: 1_000_000_000)
        var bucket = TokenBucket(most, emptyAt: 0)
        expect(&bucket, { $0.tokens(at: .max) == 1_000_000_000 })
        var slow = TokenBucket(RateLimit(1, per: .seconds(366 * 86_400)), emptyAt: 0)
        expect(&slow, { $0.nextToken(at: 0) == 366 * 86_400 * Self.second })
    }

    @Test("a changed rate keeps what has gathered, up to its own brim")
    func changed() {
        var bucket = TokenBucket(RateLimit(10, per: .seconds(1)), emptyAt: 0)
        bucket.change(to: RateLimit(100, per: .seconds(50), burst: 4), at: Self.second)
        expect(&bucket, { $0.tokens(at: Self.second) == 4 })
        bucket.change(to: RateLimit(100, per: .seconds(1)), at: Self.second)
        expect(&bucket, { $0.tokens(at: Self.second) == 4 })
        expect(&bucket, { $0.tokens(at: Self.second + 10_000_000) == 5 })
    }

    @Test("a clock that is asked about an earlier time gives nothing twice")
    func backwards() {
        var bucket = TokenBucket(RateLimit(1, per: .seconds(1)), emptyAt: 10 * Self.second)
        expect(&bucket, { $0.tokens(at: 0) == 0 })
        expect(&bucket, { $0.tokens(at: 11 * Self.second) == 1 })
        bucket.take(1, at: 11 * Self.second)
        expect(&bucket, { $0.tokens(at: 5 * Self.second) == 0 })
        expect(&bucket, { $0.tokens(at: 11 * Self.second) == 0 })
    }
}
