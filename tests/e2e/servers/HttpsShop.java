// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Java's own HTTPS server, whose TLS is no library that a symbol could be found in. Answers 404 to /missing, else 200.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.KeyStore;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

public class HttpsShop {
	static FileOutputStream log;

	static void serve(HttpExchange e) throws IOException {
		String target = e.getRequestURI().toString();
		int status = target.startsWith("/missing") ? 404 : 200;
		byte[] body = "ok\n".getBytes();
		e.getRequestBody().readAllBytes();
		e.sendResponseHeaders(status, body.length);
		e.getResponseBody().write(body);
		e.close();
		synchronized (log) {
			log.write((e.getRequestMethod() + " " + target + " " + status + "\n").getBytes());
		}
	}

	/** PKCS12-FILE PASSWORD --port N --log FILE */
	public static void main(String[] args) throws Exception {
		KeyStore keys = KeyStore.getInstance("PKCS12");
		keys.load(new FileInputStream(args[0]), args[1].toCharArray());
		KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
		managers.init(keys, args[1].toCharArray());
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(managers.getKeyManagers(), null, null);
		log = new FileOutputStream(args[5], true);
		HttpsServer server = HttpsServer.create(
			new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[3])), 128);
		server.setHttpsConfigurator(new HttpsConfigurator(context));
		server.setExecutor(Executors.newFixedThreadPool(4));
		server.createContext("/", HttpsShop::serve);
		server.start();
	}
}
