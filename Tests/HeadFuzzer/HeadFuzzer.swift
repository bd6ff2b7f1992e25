import Glibc

@testable import HTTPIngress

// What the public port makes of any bytes, driven by libFuzzer (https://llvm.org/docs/LibFuzzer.html): the request head,
// and where it is a tracking request all the way to the event. `Tests/fuzz` builds it, since the parser itself has to be
// instrumented, and runs it.

/// Production's limits, and some that short inputs reach.
private let limits = [
    HeadLimits(),
    {
        var tiny = HeadLimits()
        tiny.targetBytes = 24
        tiny.headBytes = 96
        tiny.fields = 3
        return tiny
    }(),
]

/// Not in CI: a habit of llhttp's that nobody knew yet is no fault of a change. `DifferentialTests` compare there.
private let comparesWithLLHTTP = getenv("FUZZ_LLHTTP") != nil

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let input = Array(UnsafeBufferPointer(start: bytes, count: count))
    for limits in limits {
        let verdict = Verdict(input, limits)
        checkSplits(of: input, limits, verdict)
        guard case .complete(let length) = verdict.result else { continue }
        checkFollowers(of: input, limits, verdict, length)
        let head = Array(input[..<length])
        let plain = PlainHead(head)
        plain.check(verdict.head, limits)
        if comparesWithLLHTTP { plain.checkAgainstLLHTTP(verdict.head) }
        checkTracking(head, verdict.head)
    }
    return 0
}

/// Stops at what must not be; libFuzzer keeps the input.
func require(_ condition: Bool, _ sentence: @autoclosure () -> String) {
    if !condition { fatalError(sentence()) }
}

extension RequestHead.Piece {
    func of(_ bytes: [UInt8]) -> [UInt8] {
        require(0 <= self.start && self.start <= self.end && self.end <= bytes.count, "\(self) leaves the head")
        return Array(bytes[self.start..<self.end])
    }
}

/// What a new parser says.
private struct Verdict: Equatable {
    let result: HeadParser.Result
    let head: RequestHead

    init(_ bytes: [UInt8], _ limits: HeadLimits) {
        var parser = HeadParser(limits)
        // In memory of just their size, so that the sanitizer sees what reads past them.
        self.result = withCopy(of: bytes) { parser.parse($0) }
        self.head = parser.head
    }

    /// Where the path stands; nowhere: 0..<0.
    private var path: Range<Int> { self.head.path.start..<self.head.path.end }

    static func == (left: Verdict, right: Verdict) -> Bool {
        switch (left.result, right.result) {
        case (.incomplete, .incomplete): true
        // Of a refused head only what its answer depends on.
        case (.fault(let one), .fault(let other)): one == other && left.path == right.path
        case (.complete(let one), .complete(let other)): one == other && same(left.head, right.head)
        default: false
        }
    }
}

private func same(_ left: RequestHead, _ right: RequestHead) -> Bool {
    String(describing: left) == String(describing: right)
}

private func withCopy<R>(of bytes: [UInt8], _ body: (Span<UInt8>) -> R) -> R {
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, bytes.count))
    defer { copy.deallocate() }
    _ = copy.update(fromContentsOf: bytes)
    return body(UnsafeBufferPointer(rebasing: copy[..<bytes.count]).span)
}

/// However the bytes arrive, the verdict is the same: before it there is none, after it nothing changes it.
private func checkSplits(of input: [UInt8], _ limits: HeadLimits, _ whole: Verdict) {
    var settled: Verdict?
    for end in splits(of: input, limits) {
        let verdict = Verdict(Array(input[..<end]), limits)
        if case .incomplete = verdict.result {
            require(settled == nil, "\(end) bytes are incomplete, fewer were \(settled as Any)")
        } else {
            let first = settled ?? verdict
            require(verdict == first, "\(end) bytes are \(verdict), fewer were \(first)")
            settled = first
        }
        if case .complete(let length) = verdict.result { require(length <= end, "\(length) of \(end) bytes are used") }
    }
    require((settled ?? whole) == whole, "all bytes are \(whole), some of them \(settled as Any)")
}

/// All, or of long inputs some, ascending: those at the limits and at the end, and others all over.
private func splits(of input: [UInt8], _ limits: HeadLimits) -> [Int] {
    guard input.count > 192 else { return Array(0...input.count) }
    var points = Set([input.count])
    for limit in [limits.headBytes, limits.targetBytes, input.count - 4, 32] {
        points.formUnion((limit - 4...limit + 6).filter { 0...input.count ~= $0 })
    }
    var bits = UInt64(input.count) &* 0x9e37_79b9_7f4a_7c15
    for _ in 0..<48 {
        bits = bits &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        points.insert(Int((bits >> 33) % UInt64(input.count)))
    }
    return points.sorted()
}

/// What follows a head is the next request's: it changes nothing, and one parser reads both.
private func checkFollowers(of input: [UInt8], _ limits: HeadLimits, _ verdict: Verdict, _ length: Int) {
    let head = Array(input[..<length])
    let alone = Verdict(head, limits)
    require(alone == verdict, "alone it is \(alone), with others behind it \(verdict)")
    var parser = HeadParser(limits)
    let pair = head + head
    guard case .complete(length) = parser.parse(pair.span), same(parser.head, verdict.head) else {
        fatalError("the first of two is another")
    }
    let rest = Array(pair[length...])
    guard case .complete(length) = parser.parse(rest.span), same(parser.head, verdict.head) else {
        fatalError("the second of two is another")
    }
}

// MARK: Inputs

/// Writes the corpus to begin with to the directory that `FUZZ_SEEDS` names.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ arguments: UnsafeMutableRawPointer?) -> CInt {
    guard let directory = getenv("FUZZ_SEEDS").map({ String(cString: $0) }) else { return 0 }
    let heads = HeadCorpus.good + HeadCorpus.malformed + HeadCorpus.unserved.map(\.head) + TrackedCorpus.requests
    for (number, head) in heads.enumerated() {
        guard let file = fopen("\(directory)/head-\(number)", "w") else { fatalError("no seed can be written") }
        fwrite(head, 1, head.utf8.count, file)
        fclose(file)
    }
    return 0
}
