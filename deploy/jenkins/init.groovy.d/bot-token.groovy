// The bot's API token is the one in the secret's file, and no other: runs at each start, after jenkins.yaml was applied.
import hudson.model.User
import jenkins.security.ApiTokenProperty

String token = new File('/run/secrets/jenkins_bot_token').text.trim()
User bot = User.getById('dispatcher', true)
def tokens = bot.getProperty(ApiTokenProperty)
tokens.tokenStore.tokenListSortedByName.each { tokens.tokenStore.revokeToken(it.uuid) }
tokens.tokenStore.addFixedNewToken('pipeline', token)
bot.save()
