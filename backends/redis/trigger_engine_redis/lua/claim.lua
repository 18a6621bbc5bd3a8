-- Gives work to a runner, and compares what it holds.
-- ARGV: log id, runner, tasks, queues, holding, limit, a fresh id, the runner's time; tasks to holding as msgpack.
local runner = ARGV[2]
local tasks, queues, holding = {}, unpack_value(ARGV[4]), {}
for _, task in ipairs(unpack_value(ARGV[3])) do
    tasks[task] = true
end
for _, claim in ipairs(unpack_value(ARGV[5])) do
    holding[claim] = true
end
local limit = tonumber(ARGV[6])
local log = load_log()

local stranded = {}
-- What stands before the claim in a member: runner, zero, place, zero.
local claim_at = #runner + 17
for _, member in ipairs(call('ZRANGEBYLEX', HELD, '[' .. runner .. '\0', '(' .. runner .. '\1')) do
    local ends = string.find(member, '\0', claim_at, true)
    local claim = string.sub(member, claim_at, ends - 1)
    if holding[claim] then
        holding[claim] = nil
    else
        local invocation_id = string.sub(member, ends + 1)
        stranded[#stranded + 1] = told(log, invocation_id, load_row(invocation_id))
    end
end
local revoked = {}
for claim in pairs(holding) do
    revoked[#revoked + 1] = claim
end
if limit <= 0 then
    return {log.id, log.tail, log.stirred, {}, stranded, revoked, {}, false}
end

local now = server_time()
for _, member in ipairs(call('ZRANGEBYSCORE', DELAYED, '-inf', string.format('%.17g', now), 'LIMIT', 0, 1000)) do
    call('ZREM', DELAYED, member)
    call('ZADD', READY, '0', member)
end

-- Every queue and task for which work waits, by steps over the sorted set, however much of it there is.
local unknown, known = {}, {}
local function look(first, last)
    local member = call('ZRANGEBYLEX', READY, first, last, 'LIMIT', 0, 1)[1]
    while member do
        local place, task = string.match(member, '^(.-%z(.-))%z')
        if tasks[task] then
            known[#known + 1] = {place = place, loaded = 0, at = 1, members = {}}
        else
            unknown[task] = true
        end
        member = call('ZRANGEBYLEX', READY, '[' .. place .. '\1', last, 'LIMIT', 0, 1)[1]
    end
end
if #queues == 0 then
    look('-', '+')
end
for _, queue in ipairs(queues) do
    look('[' .. queue .. '\0', '(' .. queue .. '\1')
end

-- The oldest of one place that is not taken yet: its member, the position in it.
local chunk = math.max(4, math.ceil(limit / math.max(#known, 1)))
local function head(source)
    if source.at > #source.members then
        source.members = call('ZRANGEBYLEX', READY, '[' .. source.place .. '\0', '(' .. source.place .. '\1', 'LIMIT',
            source.loaded, chunk)
        source.loaded, source.at = source.loaded + #source.members, 1
    end
    local member = source.members[source.at]
    return member, member and string.sub(member, #source.place + 2, #source.place + 15)
end
local taken = {}
while #taken < limit do
    local oldest, oldest_place, oldest_source
    for _, source in ipairs(known) do
        local member, place = head(source)
        if member and (not oldest or place < oldest_place) then
            oldest, oldest_place, oldest_source = member, place, source
        end
    end
    if not oldest then
        break
    end
    oldest_source.at = oldest_source.at + 1
    taken[#taken + 1] = string.sub(oldest, #oldest_source.place + 17)
end

local rows = load_fields(INVOCATIONS, taken)
for _, invocation_id in ipairs(taken) do
    rows[invocation_id] = unpack_value(rows[invocation_id])
end

-- The bytes of the registrations that are in the stream, by position. Those that stand close together, as they do
-- when much waits, are read at once, with what stands between them.
local registrations = {}
local places = {}
for _, invocation_id in ipairs(taken) do
    local place = rows[invocation_id][REGISTERED_AT]
    if place > log.trimmed then
        places[#places + 1] = place
    end
end
table.sort(places)
local first = 1
while places[first] do
    local last = first
    while places[last + 1] and places[last + 1] - places[last] <= 3 do
        last = last + 1
    end
    for _, message in ipairs(call('XRANGE', ENTRIES, decimal(places[first]), decimal(places[last]))) do
        registrations[message[1]] = message[2][2]
    end
    first = last + 1
end

local time_packed, runner_packed = pack(tonumber(ARGV[8])), pack(runner)

-- The bytes of `Started`: what it shares with the registration is cut out of that, for Lua could not encode it anew.
local function started(registration, row, claim, entry_id)
    local at = string.byte(registration, 2) == 0xdc and 5 or 3
    at = at + 1 + string.byte(registration, at) - 0xa0
    local header = string.byte(registration, at)
    local length = 1 + header - 0xa0
    if header == 0xd9 then
        length = 2 + string.byte(registration, at + 1)
    elseif header == 0xda then
        length = 3 + 256 * string.byte(registration, at + 1) + string.byte(registration, at + 2)
    end
    return STARTED_HEAD .. pack(entry_id) .. time_packed .. string.sub(registration, at, at + length - 1)
        .. string.sub(registration, row[SLICE_FROM] + 1, row[SLICE_FROM] + row[SLICE_SIZE])
        .. pack(row[ATTEMPT]) .. pack(claim) .. runner_packed
end

local given, pairs_of_ids = {}, {}
for _, invocation_id in ipairs(taken) do
    local row = rows[invocation_id]
    local registration = registrations[decimal(row[REGISTERED_AT]) .. '-0'] or registration_of(log, invocation_id, row)
    leave(log, invocation_id, row)
    log.tail = log.tail + 1
    local place = decimal(log.tail)
    local claim = ARGV[7] .. string.format('%x', log.tail)
    local entry_id = claim .. ':started'
    if row[STATUS] == 'retry' then
        row[ATTEMPT] = row[ATTEMPT] + 1
    end
    row[STATUS], row[CLAIM], row[RUNNER], row[CHANGED_AT] = 'running', claim, runner, log.tail
    local entry = started(registration, row, claim, entry_id)
    call('XADD', ENTRIES, place, 'e', entry)
    pairs_of_ids[#pairs_of_ids + 1] = entry_id
    pairs_of_ids[#pairs_of_ids + 1] = place
    given[#given + 1] = {enter(invocation_id, row, now), registration, entry}
end
if #given > 0 then
    write_rows()
    in_chunks('HSET', IDS, pairs_of_ids)
    call('HSET', META, 'tail', decimal(log.tail), 'last', pairs_of_ids[#pairs_of_ids - 1])
    ring(log)
end

local unknown_tasks = {}
for task in pairs(unknown) do
    unknown_tasks[#unknown_tasks + 1] = task
end
local next_due = call('ZRANGE', DELAYED, 0, 0, 'WITHSCORES')[2]
local wait = next_due and string.format('%.6f', math.max(tonumber(next_due) - now, 0))
return {log.id, log.tail, log.stirred, given, stranded, revoked, unknown_tasks, wait or false}
