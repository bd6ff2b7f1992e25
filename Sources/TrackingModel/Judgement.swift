/// Whether a program takes a request at a time; nil means that it does.
///
/// A pure function: the same three always give the same answer. The order of the rules is the order in which outsiders
/// are told of them.
public func judge(_ program: RenderedProgram, _ request: borrowing TrackingRequest, at time: Timestamp) -> Refusal? {
    let terms = program.terms
    if !terms.isValid { return .programInactive }
    if time.milliseconds < terms.validFrom { return .programNotStarted }
    if time.milliseconds > terms.validUntil { return .programExpired }
    if let checksum = request.checksum {
        guard program.hasChecksum(checksum) else { return .checksumMismatch }
    } else if terms.requiresChecksum {
        return .checksumMissing
    }
    if let rules = program.rules, let refusal = rules.refusal(of: request) { return refusal }
    return request.type == nil ? .typeNotAllowed : nil
}

extension ParameterRules {
    func refusal(of request: borrowing TrackingRequest) -> Refusal? {
        for name in self.requiredBytes where !request.has(name) { return .missingParameter }
        if let allowed = self.allowedBytes {
            for index in request.parameters.indices
            where !allowed.contains(where: { request.name(index).elementsEqual($0) }) {
                return .unknownParameter
            }
        }
        for group in self.togetherBytes {
            let present = group.count { request.has($0) }
            if present != 0, present != group.count { return .incompleteCombination }
        }
        for (name, values) in self.valuesBytes {
            if let value = request.value(of: name), !values.contains(where: { value.elementsEqual($0) }) {
                return .valueNotAllowed
            }
        }
        guard let types = self.types else { return nil }
        guard let type = request.type, types.contains(type) else { return .typeNotAllowed }
        return nil
    }
}

extension TrackingRequest {
    /// `type` and `checksum` are parameters like others to the rules that name them.
    fileprivate func has(_ name: [UInt8]) -> Bool { self.value(of: name) != nil }

    fileprivate func value(of name: [UInt8]) -> ArraySlice<UInt8>? {
        if let index = self.index(of: name) { return self.value(index) }
        if name.elementsEqual("checksum".utf8) { return self.checksum }
        if name.elementsEqual("type".utf8) { return self.typeText }
        return nil
    }
}
