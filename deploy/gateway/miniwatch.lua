-- What decisions say about a request whose app, developer, person, device, address or host is named in one.
--
-- decisions.map has a line for each subject ("AppId:wx01"), and for each of its APIs about which something is decided
-- ("AppId:wx01/getLocation"). Its value is one decision after the other, separated by "^", each of fields separated by "|":
--
--     until (ms) | kind | id | first | second | what the caller is told, as JSON
--
-- kind     first               second
-- refuse   -                   -
-- captcha  -                   -
-- limit    calls               window (s)
-- update   lowest version      deadline (ms)

local folder = os.getenv("GATEWAY_MAPS")
local decisions = Map.new(folder .. "/decisions.map", Map._str)
local SUBJECTS = { "s_app", "s_developer", "s_user", "s_device", "s_address", "s_domain" }
local LIMITS_MAX = 3 -- HAProxy counts at most three things of a request

-- "1.10.2" and "1.9" are compared part by part; of what is not one to eight numbers with dots between them nothing is said.
local function is_version(text)
    local parts = 0
    for part in (text .. "."):gmatch("([^.]*)%.") do
        parts = parts + 1
        if parts > 8 or #part > 9 or not part:match("^%d+$") then return false end
    end
    return true
end

local function is_older(version, lowest)
    if not is_version(version) or not is_version(lowest) then return false end
    local mine, theirs = version:gmatch("%d+"), lowest:gmatch("%d+")
    while true do
        local a, b = mine(), theirs()
        if not a and not b then return false end
        a, b = tonumber(a or 0), tonumber(b or 0)
        if a ~= b then return a < b end
    end
end

local function tell(txn, kind, id, text)
    if txn:get_var("txn.told") then return end -- the first word is the last
    txn:set_var("txn.kind", kind)
    txn:set_var("txn.decision", id)
    txn:set_var("txn.told", text)
end

local function names_of(txn)
    local api = txn:get_var("txn.api")
    local first = api and api:match("^[^.(]+")
    local names = {}
    for _, subject in ipairs(SUBJECTS) do
        local name = txn:get_var("txn." .. subject)
        if name then
            names[#names + 1] = name
            if api then names[#names + 1] = name .. "/" .. api end
            if first and first ~= api then names[#names + 1] = name .. "/" .. first end
        end
    end
    return names
end

local function in_force(txn, now_ms)
    local found = {}
    for _, name in ipairs(names_of(txn)) do
        for text in (decisions:lookup(name) or ""):gmatch("[^^]+") do
            local until_ms, kind, id, first, second, told =
                text:match("^(%d+)|(%l+)|([^|]*)|([^|]*)|([^|]*)|(.*)$")
            if until_ms and tonumber(until_ms) > now_ms then
                found[#found + 1] = { kind = kind, id = id, first = first, second = second, told = told }
            end
        end
    end
    return found
end

local function update(txn, decision, now_ms)
    local version = txn:get_var("txn.version")
    if not version or not is_older(version, decision.first) then return end
    if now_ms < tonumber(decision.second) then
        local deadline = os.date("!%Y-%m-%dT%H:%M:%SZ", tonumber(decision.second) // 1000)
        local notice = 'update-required; version_min="%s"; deadline="%s"; decision="%s"'
        txn:set_var("txn.notice", notice:format(decision.first, deadline, decision.id))
    else
        tell(txn, "update", decision.id, decision.told)
    end
end

local function limit(txn, decision, place, now_s)
    local window_s = tonumber(decision.second)
    local number = now_s // window_s
    txn:set_var("txn.bucket_" .. place, decision.id .. "." .. string.format("%d", number))
    txn:set_var("txn.calls_" .. place, tonumber(decision.first))
    txn:set_var("txn.limit_id_" .. place, decision.id)
    txn:set_var("txn.limit_told_" .. place, decision.told)
    txn:set_var("txn.limit_wait_" .. place, (number + 1) * window_s - now_s)
end

core.register_action("miniwatch_decide", { "http-req" }, function(txn)
    local now_ms = txn:get_var("txn.now") -- the wall clock: core.now() is HAProxy's own, which may stand apart from it
    local found = in_force(txn, now_ms)
    for _, decision in ipairs(found) do
        if decision.kind == "refuse" then tell(txn, "refused", decision.id, decision.told) end
    end
    for _, decision in ipairs(found) do
        if decision.kind == "update" then update(txn, decision, now_ms) end
    end
    for _, decision in ipairs(found) do
        if decision.kind == "captcha" then tell(txn, "challenge", decision.id, decision.told) end
    end
    if txn:get_var("txn.told") then return end -- what is refused anyway uses up no limit
    local place = 0
    for _, decision in ipairs(found) do
        if decision.kind == "limit" and place < LIMITS_MAX then
            place = place + 1
            limit(txn, decision, place, now_ms // 1000)
        end
    end
end)

core.register_action("miniwatch_limit", { "http-req" }, function(txn, place)
    if txn:get_var("txn.told") then return end
    tell(txn, "limited", txn:get_var("txn.limit_id_" .. place), txn:get_var("txn.limit_told_" .. place))
    txn:set_var("txn.wait_s", txn:get_var("txn.limit_wait_" .. place))
end, 1)
