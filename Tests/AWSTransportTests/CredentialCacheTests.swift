import Testing

@testable import AWSTransport

/// The machine by a clock moved by hand: seconds, from 1,000.
struct CredentialCacheTests {
    private let first = AWSCredentials(accessKeyID: "1", secretAccessKey: "s", sessionToken: "t", expiration: 4_600)
    private let second = AWSCredentials(accessKeyID: "2", secretAccessKey: "s", sessionToken: "t", expiration: 8_200)
    private let failure = CredentialFailure("no")

    private func holding(_ credentials: AWSCredentials, at now: Int) -> CredentialCache {
        var cache = CredentialCache()
        #expect(cache.wanted(at: now) == .fetch)
        cache.fetched(credentials, at: now)
        return cache
    }

    // Expected: one fetch, everybody else waits for it.
    @Test
    func oneFetchRunsAtATime() {
        var cache = CredentialCache()
        #expect(cache.wanted(at: 1_000) == .fetch)
        #expect(cache.wanted(at: 1_000) == .wait)
        cache.fetched(self.first, at: 1_001)
        #expect(cache.wanted(at: 1_001) == .use(self.first))
    }

    // Expected: five minutes before they expire others are fetched beside their use, once.
    @Test
    func theyAreRenewedBeforeTheyExpire() {
        var cache = self.holding(self.first, at: 1_000)
        #expect(cache.wanted(at: 4_299) == .use(self.first))
        #expect(cache.wanted(at: 4_300) == .useAndFetch(self.first))
        #expect(cache.wanted(at: 4_301) == .use(self.first))
        cache.fetched(self.second, at: 4_302)
        #expect(cache.wanted(at: 4_302) == .use(self.second))
    }

    // Expected: a life of ten seconds is renewed in its middle, not at every request.
    @Test
    func aShortLifeIsRenewedInItsMiddle() {
        var short = self.first
        short.expiration = 1_010
        var cache = self.holding(short, at: 1_000)
        #expect(cache.wanted(at: 1_004) == .use(short))
        #expect(cache.wanted(at: 1_005) == .useAndFetch(short))
    }

    // Expected: the old ones until their last second, then the failure; attempts further and further apart.
    @Test
    func whileRenewalFailsTheOldOnesAreUsedUntilTheyExpire() {
        var cache = self.holding(self.first, at: 1_000)
        var attempts: [Int] = []
        for now in 4_300..<4_600 {
            switch cache.wanted(at: now) {
            case .useAndFetch(self.first):
                attempts.append(now)
                cache.failed(self.failure, at: now, jitter: 1)
            case .use(self.first): break
            case let other: Issue.record("\(other) at \(now)")
            }
        }
        #expect(attempts == [4_300, 4_301, 4_303, 4_307, 4_315, 4_331, 4_363, 4_423, 4_483, 4_543])
        #expect(cache.wanted(at: 4_600) == .fail(self.failure))
        #expect(cache.wanted(at: 4_603) == .fetch)
        cache.fetched(self.second, at: 4_603)
        #expect(cache.wanted(at: 4_603) == .use(self.second))
    }

    @Test
    func withoutAnyAttemptsKeepTheirDistanceToo() {
        var cache = CredentialCache()
        #expect(cache.wanted(at: 1_000) == .fetch)
        cache.failed(self.failure, at: 1_000, jitter: 0)
        #expect(cache.wanted(at: 1_000) == .fail(self.failure))
        #expect(cache.wanted(at: 1_001) == .fetch)
    }

    // Expected: a refusal fetches at once; one that names credentials already replaced does not.
    @Test
    func refusedCredentialsAreFetchedAgain() {
        var cache = self.holding(self.first, at: 1_000)
        #expect(cache.rejected(self.first, at: 2_000) == true)
        #expect(cache.rejected(self.first, at: 2_000) == false)
        cache.fetched(self.second, at: 2_001)
        #expect(cache.rejected(self.first, at: 2_002) == false)
        #expect(cache.wanted(at: 2_002) == .use(self.second))
    }

    // Expected: where the source gives the same again they stay in use, and the source is asked less and less.
    @Test
    func aSourceThatGivesTheRefusedOnesAgainIsNotAskedForEveryRefusal() {
        var fixed = self.first
        fixed.expiration = nil
        var cache = self.holding(fixed, at: 1_000)
        var attempts = 0
        for now in 2_000..<2_600 where cache.rejected(fixed, at: now) {
            attempts += 1
            cache.fetched(fixed, at: now)
            #expect(cache.wanted(at: now) == .use(fixed))
        }
        #expect((5...20).contains(attempts))
    }

    @Test
    func expiredOnesAreNeverUsed() {
        var cache = CredentialCache()
        #expect(cache.wanted(at: 5_000) == .fetch)
        cache.fetched(self.first, at: 5_000)
        guard case .fail = cache.wanted(at: 5_000) else {
            Issue.record("expired credentials are used")
            return
        }
    }

    @Test
    func nothingShowsASecret() {
        var text = ""
        dump(self.first, to: &text)
        let secret = AWSCredentials(
            accessKeyID: "AKIDSHOWN",
            secretAccessKey: "SECRETSHOWN",
            sessionToken: "TOKENSHOWN"
        )
        dump(secret, to: &text)
        dump(Signing(region: "r", service: "s", credentials: secret), to: &text)
        text += "\(secret) \(String(reflecting: secret)) \(Optional(secret).debugDescription) \([secret])"
        #expect(!text.contains("SHOWN"))
    }
}
