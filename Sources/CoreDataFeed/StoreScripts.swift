/// The Lua scripts that make a write one step: version, hash, change stream and publication together, or nothing.
///
/// Versions are compared as decimal text: Lua's numbers are exact only to 2^53.
enum StoreScripts {
    /// About how many changes the stream keeps.
    static let keptChanges = 100_000
    /// How long a deleted program's version is remembered, in seconds: 7 days.
    static let tombstoneSeconds = 7 * 24 * 60 * 60

    private static let versions = """
        local function canonical(text)
          return text and string.match(text, '^"?0*(%d+)"?$')
        end
        local function newer(a, b)
          if not b then return true end
          if #a ~= #b then return #a > #b end
          return a > b
        end
        local function following(version)
          if not version then return '1' end
          local head, digit, nines = string.match(version, '^(%d-)([0-8]?)(9*)$')
          return head .. (digit == '' and '1' or tostring(digit + 1)) .. string.rep('0', #nines)
        end
        local held = canonical(redis.call('HGET', KEYS[1], 'version'))
        local deleted = canonical(redis.call('GET', KEYS[2]))
        if deleted and (not held or newer(deleted, held)) then held = deleted end
        local version = ARGV[2]
        if version == '' then
          version = following(held)
          if newer(version, '9223372036854775807') then return redis.error_reply('ERR the version cannot grow') end
        elseif not newer(version, held) then
          return {'kept', held}
        end

        """

    private static let announcement = """

        redis.call('XADD', KEYS[3], 'MAXLEN', '~', '\(keptChanges)', '*', 'program', message)
        redis.call('PUBLISH', ARGV[1], message)
        return {'applied', version}
        """

    /// Keys: hash, tombstone, stream. Arguments: channel, version or nothing, the JSON object without a version, then the
    /// hash's fields and values without a version.
    static let put =
        versions + """
            redis.call('DEL', KEYS[1], KEYS[2])
            redis.call('HSET', KEYS[1], 'version', version, unpack(ARGV, 4))
            local message = string.sub(ARGV[3], 1, -2) .. ',"version":' .. version .. '}'
            """ + announcement

    /// Keys as above. Arguments: channel, version or nothing, the JSON object without a version.
    ///
    /// Without a version a program that is not there is not deleted; with one its tombstone is set all the same, since
    /// the program's own message may come later.
    static let delete =
        """
        if ARGV[2] == '' and redis.call('EXISTS', KEYS[1]) == 0 then return {'unknown', '0'} end

        """ + versions + """
            redis.call('DEL', KEYS[1])
            redis.call('SET', KEYS[2], version, 'EX', '\(tombstoneSeconds)')
            local message = string.sub(ARGV[3], 1, -2) .. ',"version":' .. version .. ',"deleted":true}'
            """ + announcement
}
