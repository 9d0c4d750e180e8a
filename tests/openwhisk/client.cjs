// npm's openwhisk, steered by lines of JSON: {"of": "actions", "do": "invoke", "options": {...}} -> {"ok": ...} or
// {"status": ..., "error": ...}. `zip` in the options stands for a Buffer as `action`.
const openwhisk = require('openwhisk')
const [apihost, apiKey] = JSON.parse(process.env.SERVER)
const client = openwhisk({ apihost, api_key: apiKey, proxy: '' })

async function answer (line) {
  const { of, do: method, options } = JSON.parse(line)
  if (options.zip) options.action = Buffer.from(options.zip, 'base64')
  try {
    return { ok: await client[of][method](options) }
  } catch (error) {
    return { status: error.statusCode, error: error.message, body: error.error }
  }
}

async function main () {
  for await (const line of require('readline').createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(line)))
  }
}

main()
