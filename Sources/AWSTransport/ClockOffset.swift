import CCurl

/// By how much this machine's clock differs from AWS', as far as it matters.
///
/// AWS takes a signature whose time is within five minutes of its own. As the SDKs do, the clock is corrected where an
/// answer's `Date` differs by four minutes or more, and where AWS refuses a signature and the `Date` gives a reason.
struct ClockOffset: Sendable, Equatable {
    /// Seconds to add to this machine's clock.
    private(set) var seconds = 0

    private static let tolerated = 240
    /// A refused signature is blamed on the clock from here on: `Date` has whole seconds, and the answer took its time.
    private static let suspicious = 30

    /// An answer came.
    ///
    /// - Parameters:
    ///   - date: seconds since the Unix epoch, by the server.
    ///   - now: the same, by this machine.
    ///   - isRefusedSignature: whether AWS refused the signature or its time.
    /// - Returns: whether the correction changed, so that a refused request is worth another attempt.
    mutating func received(date: Int, now: Int, isRefusedSignature: Bool) -> Bool {
        let difference = date - now
        let error = abs(difference - self.seconds)
        // A clock that was corrected once is followed closely: somebody will set it right.
        let isWatched = isRefusedSignature || self.seconds != 0
        guard error >= (isWatched ? Self.suspicious : Self.tolerated) else { return false }
        self.seconds = abs(difference) < Self.suspicious ? 0 : difference
        return true
    }

    /// - Parameter text: the `Date` of an answer (RFC 9110 section 5.6.7).
    static func seconds(ofHTTPDate text: String) -> Int? {
        guard !text.isEmpty, text.utf8.count < 64 else { return nil }
        let seconds = curl_getdate(text, nil)
        return seconds > 0 ? seconds : nil
    }
}
